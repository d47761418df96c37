//! Maps whose order depends on nothing but what is put into them, so that a seed of the simulation is a whole report of
//! a failure. The keys are numbers and paths of this machine: nobody can choose them to collide at our expense.

use std::collections::hash_map::DefaultHasher;
use std::hash::BuildHasherDefault;

type Hasher = BuildHasherDefault<DefaultHasher>;

pub(crate) type HashMap<K, V> = std::collections::HashMap<K, V, Hasher>;

pub(crate) type HashSet<K> = std::collections::HashSet<K, Hasher>;
