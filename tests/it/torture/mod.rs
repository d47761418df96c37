//! Processes that do their worst: writers at full speed, rotations every 100 ms, backends that hang, configurations that
//! change under load.

mod checkpoint;
mod outputs;
mod parts;
mod reload;
mod storm;
