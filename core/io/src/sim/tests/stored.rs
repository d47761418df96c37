//! redb on the simulated storage.

use std::panic::{AssertUnwindSafe, catch_unwind};

use redb::{Database, ReadableDatabase, StorageBackend, TableDefinition};

use crate::sim::{Faults, World};

const TABLE: TableDefinition<'_, u64, u64> = TableDefinition::new("numbers");
const PATH: &str = "/data/checkpoint";

fn open(world: &World) -> Result<Database, redb::Error> {
    let storage = world.storage(PATH)?;
    Ok(Database::builder().set_cache_size(1 << 20).create_with_backend(storage)?)
}

/// Sets keys 0 to 9 to `value`, and one of many others, so that the tree changes its shape.
fn write(world: &World, db: &Database, value: u64, commit: bool) -> Result<(), redb::Error> {
    let write = db.begin_write()?;
    {
        let mut table = write.open_table(TABLE)?;
        for key in 0..10 {
            table.insert(key, value)?;
        }
        let other = 10 + world.random(500);
        if world.random(3) == 0 {
            table.remove(other)?;
        } else {
            table.insert(other, value)?;
        }
    }
    if commit {
        write.commit()?
    } else {
        write.abort()?
    }
    Ok(())
}

/// The value that keys 0 to 9 have, all the same; 0 when nothing was ever committed.
fn value(db: &Database) -> Result<u64, redb::Error> {
    let table = match db.begin_read()?.open_table(TABLE) {
        Err(redb::TableError::TableDoesNotExist(_)) => return Ok(0),
        table => table?,
    };
    let first = table.get(0)?.expect("written together").value();
    for entry in table.range(0..10)? {
        assert_eq!(entry?.1.value(), first, "a transaction is whole");
    }
    Ok(first)
}

/// A committed transaction is there after every crash, an uncommitted one is not.
#[test]
fn what_redb_committed_survives_crashes_and_nothing_else_does() {
    for seed in 0..60 {
        let world = World::new(seed);
        world.set_faults(Faults { torn_write: 0.5, ..Faults::none() });
        let mut committed = 0;
        for _ in 0..5 {
            let mut db = open(&world).expect("open");
            let story = || format!("seed {seed}: {:#?}", world.history());
            assert!(db.check_integrity().expect("check"), "{}", story());
            assert_eq!(value(&db).expect("read"), committed, "{}", story());
            for _ in 0..1 + world.random(5) {
                committed += 1;
                write(&world, &db, committed, true).expect("commit");
            }
            write(&world, &db, 999_999, false).expect("abort");
            // Without its Drop a process ends as by kill -9; with it, redb finds its storage gone.
            if world.random(2) == 0 { world.crash() } else { world.kill() }
        }
    }
}

/// With failing writes and a full disk a commit may fail; what had been committed before is there, and what failed is
/// there whole or not at all.
#[test]
fn failing_storage_costs_at_most_the_transaction_that_failed() {
    let (mut failures, mut kept) = (0, 0);
    for seed in 0..60 {
        let world = World::new(seed);
        let faults = Faults { storage_error: 0.02, storage_full: 0.02, torn_write: 0.3, ..Faults::none() };
        let (mut committed, mut attempted) = (0, 0);
        for _ in 0..6 {
            world.set_faults(Faults::none());
            let db = open(&world).expect("open");
            let found = value(&db).expect("read");
            assert!(
                found == committed || found == attempted,
                "seed {seed}: {found}, not {committed} or {attempted}: {:#?}",
                world.history()
            );
            kept += u64::from(found != committed);
            committed = found;
            world.set_faults(faults);
            for _ in 0..10 {
                attempted = committed + 1;
                if write(&world, &db, attempted, true).is_err() {
                    failures += 1;
                    break;
                }
                committed = attempted;
            }
            world.crash();
        }
    }
    assert!(failures > 20 && kept > 0, "{failures} {kept}");
}

/// After a crash every sector that was written since the last sync is as before or as after, the length too; over many
/// seeds all, none and some of them; and after a kill all.
#[test]
fn unsynced_writes_are_kept_lost_and_torn() -> std::io::Result<()> {
    const SECTOR: usize = 512;
    let (mut lost, mut kept, mut torn, mut short) = (0, 0, 0, 0);
    for seed in 0..200 {
        let world = World::new(seed);
        world.set_faults(Faults { torn_write: 0.5, ..Faults::none() });
        let storage = world.storage(PATH)?;
        storage.write(0, &[b'a'; 8 * SECTOR])?;
        storage.sync_data()?;
        storage.write(0, &[b'b'; 4 * SECTOR])?;
        storage.set_len(6 * SECTOR as u64)?;
        world.kill();
        assert_eq!(world.read(PATH)?, [vec![b'b'; 4 * SECTOR], vec![b'a'; 2 * SECTOR]].concat());
        assert!(storage.write(0, b"from the dead").is_err() && storage.sync_data().is_err());
        world.crash();
        let bytes = world.read(PATH)?;
        assert!(bytes.len() == 6 * SECTOR || bytes.len() == 8 * SECTOR);
        let sectors: Vec<&[u8]> = bytes.chunks(SECTOR).collect();
        assert!(sectors.iter().all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        assert!(sectors[4..].iter().all(|sector| sector[0] == b'a'), "what was synced stays");
        match sectors[..4].iter().filter(|sector| sector[0] == b'b').count() {
            0 => lost += 1,
            4 => kept += 1,
            _ => torn += 1,
        }
        short += u32::from(bytes.len() == 6 * SECTOR);
        world.crash();
        assert_eq!(world.read(PATH)?, bytes, "what survived one crash is durable");
    }
    assert!(
        [lost, kept, torn, short, 200 - short].iter().all(|count| *count > 10),
        "{lost} {kept} {torn} {short}"
    );
    Ok(())
}

/// A flipped bit changes the file and is either harmless, refused with an error, or caught as a panic: redb's answer to
/// damage is what the real storage guards against, and the world can produce it.
#[test]
fn a_flipped_bit_is_damage_that_redb_meets() {
    let (mut harmless, mut met) = (0, 0);
    for seed in 0..40 {
        let world = World::new(seed);
        let db = open(&world).expect("open");
        write(&world, &db, 1, true).expect("commit");
        world.kill();
        drop(db);
        let before = world.read(PATH).expect("read");
        world.flip_bit(PATH).expect("flip");
        let after = world.read(PATH).expect("read");
        let flipped: u32 = before.iter().zip(&after).map(|(a, b)| (a ^ b).count_ones()).sum();
        assert_eq!((flipped, before.len()), (1, after.len()));
        let opened = catch_unwind(AssertUnwindSafe(|| {
            let mut db = open(&world)?;
            db.check_integrity()?;
            value(&db)
        }));
        match opened {
            Ok(Ok(1)) => harmless += 1,
            _ => met += 1,
        }
    }
    assert!(harmless > 0, "{harmless} {met}");
}

/// The same seed tears the same writes.
#[test]
fn storage_is_as_determined_as_the_rest() {
    let run = |seed| {
        let world = World::new(seed);
        world.set_faults(Faults { torn_write: 0.5, storage_error: 0.01, ..Faults::none() });
        for _ in 0..5 {
            if let Ok(db) = open(&world) {
                for value in 0..5 {
                    let _ = write(&world, &db, value, true);
                }
                world.crash();
            }
        }
        (world.fingerprint(), world.read(PATH).expect("read"))
    };
    for seed in 0..5 {
        assert_eq!(run(seed), run(seed));
    }
}
