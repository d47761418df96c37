//! Which files are found, under which names, and what a scan costs.

mod follower;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use follower::Follower;
use globset::GlobBuilder;
use proptest::prelude::*;
use ringtail_read::{FileSpec, Listing};

/// A directory without symlinks on the way to it.
fn world() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let root = dir.path().canonicalize().expect("exists");
    (dir, root)
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("parent")).expect("directories");
    fs::write(path, text).expect("write");
}

fn spec(root: &Path, paths: &[&str]) -> FileSpec {
    let absolute = |path: &&str| format!("{}/{path}", root.display());
    FileSpec { id: 3, paths: paths.iter().map(absolute).collect(), ..FileSpec::default() }
}

fn names(root: &Path, listings: &[Listing]) -> Vec<String> {
    let name = |listing: &Listing| listing.lineage.strip_prefix(root).expect("inside").display().to_string();
    let mut names: Vec<String> = listings.iter().map(name).collect();
    names.sort();
    names
}

fn found(root: &Path, spec: &FileSpec) -> Vec<String> {
    let listings = Follower::of(spec, &[], 100).look();
    names(root, &listings)
}

const NAMES: [&str; 6] = ["a", "b", "ab", "c.log", "d.log", "-x"];

fn tree() -> impl Strategy<Value = Vec<Vec<usize>>> {
    prop::collection::vec(prop::collection::vec(0..NAMES.len(), 1..5), 0..30)
}

fn pattern() -> impl Strategy<Value = Vec<String>> {
    let part = prop::sample::select(vec![
        "a",
        "b",
        "c.log",
        "*",
        "*.log",
        "?",
        "[ab]",
        "[!a]",
        "**",
        "{a,b}",
        "a*",
        "{a,b/*}",
        "*{a,.log}",
        "-*",
    ]);
    prop::collection::vec(part.prop_map(str::to_owned), 1..5)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 150, failure_persistence: None, ..ProptestConfig::default() })]

    /// Against the plain way: every path there is, asked with the whole glob.
    #[test]
    fn the_walk_finds_what_a_naive_walk_finds(tree in tree(), patterns in prop::collection::vec(pattern(), 1..4)) {
        let (_dir, root) = world();
        for parts in tree {
            let path = parts.iter().fold(root.clone(), |path, part| path.join(NAMES[*part]));
            let _ = fs::create_dir_all(path.parent().expect("parent")).and_then(|()| fs::write(&path, "x\n"));
        }
        let patterns: Vec<String> = patterns.iter().map(|parts| parts.join("/")).collect();
        let texts: Vec<&str> = patterns.iter().map(String::as_str).collect();
        let mut expected = BTreeSet::new();
        let (mut todo, mut files) = (vec![root.clone()], Vec::new());
        while let Some(dir) = todo.pop() {
            for entry in fs::read_dir(dir).expect("list").flatten() {
                let list = if entry.file_type().expect("kind").is_dir() { &mut todo } else { &mut files };
                list.push(entry.path());
            }
        }
        for text in &texts {
            let whole = format!("{}/{text}", root.display());
            let glob = GlobBuilder::new(&whole).literal_separator(true).build().expect("glob").compile_matcher();
            let exact = !text.contains(['*', '?', '[']);
            let matches = |path: &&PathBuf| {
                glob.is_match(path) || exact && path.parent().is_some_and(|dir| glob.is_match(dir))
            };
            expected.extend(files.iter().filter(matches).map(|path| path.strip_prefix(&root).expect("inside").display().to_string()));
        }
        let mut follower = Follower::of(&spec(&root, &texts), &[], 1000);
        let listings = follower.look();
        prop_assert_eq!(names(&root, &listings), expected.into_iter().collect::<Vec<_>>(), "{:?}", texts);
        prop_assert!(follower.look().is_empty());
    }
}

#[test]
fn a_directory_means_its_files_and_a_later_one_is_found_through_its_parent() {
    let (_dir, root) = world();
    let spec = spec(&root, &["var/log/app"]);
    let mut follower = Follower::of(&spec, &[], 100);
    assert!(follower.look().is_empty());
    assert_eq!(follower.scanner.directories(), [root.clone().into()]);
    write(&root.join("var/log/app/one"), "1\n");
    write(&root.join("var/log/app/deeper/two"), "2\n");
    let listings = follower.scanner.scan_dir(&root);
    assert_eq!(names(&root, &follower.take(listings)), ["var/log/app/one"]);
    fs::remove_dir_all(root.join("var")).expect("remove");
    let gone = follower.look();
    assert!(gone.len() == 1 && gone[0].files.is_empty());
    assert_eq!(follower.scanner.directories(), [root.clone().into()]);
    write(&root.join("var/log/app/one"), "again\n");
    assert_eq!(follower.look().len(), 1);
    assert_eq!(follower.logs.values().next().expect("one").read, b"1\nagain\n");
    write(&root.join("var/log/app/three"), "3\n");
    let listings = follower.scanner.scan_dir(&root.join("var/log/app"));
    assert!(!listings[0].at_start);
    assert_eq!(names(&root, &listings), ["var/log/app/three"]);
}

/// /var/log/containers leads to /var/log/pods leads to docker's file: one lineage, next to the real file.
#[test]
fn symlinks_lead_to_the_real_file_which_is_read_once() {
    let (_dir, root) = world();
    let real = root.join("docker/containers/abc/abc-json.log");
    write(&real, "one\n");
    fs::create_dir_all(root.join("pods/ns_pod_uid/main")).expect("directories");
    fs::create_dir_all(root.join("containers")).expect("directories");
    symlink(&real, root.join("pods/ns_pod_uid/main/0.log")).expect("link");
    symlink(root.join("pods/ns_pod_uid/main/0.log"), root.join("containers/pod_ns_main-abc.log"))
        .expect("link");
    let spec = spec(&root, &["containers/*.log", "pods/*/*/*.log", "docker/containers/*/*-json.log"]);
    let mut follower = Follower::of(&spec, &[], 100);
    let listings = follower.look();
    assert_eq!(names(&root, &listings), ["docker/containers/abc/abc-json.log"]);
    fs::rename(&real, root.join("docker/containers/abc/abc-json.log.1")).expect("rename");
    fs::write(&real, "two\n").expect("write");
    follower.look();
    assert_eq!(follower.log().read, b"one\ntwo\n");
    // A link that is made before what it leads to.
    symlink("below/later", root.join("containers/later.log")).expect("link");
    follower.look();
    write(&root.join("containers/below/later"), "three\n");
    assert_eq!(names(&root, &follower.look()), ["containers/below/later"]);
}

/// Kubelet's logs lie below another root than usual: the path that tells the pod is shown nevertheless, for static pods
/// (whose uid is a hash) too, and the others where there is none.
#[test]
fn the_path_that_tells_the_pod_is_shown_wherever_it_lies() {
    let (_dir, root) = world();
    for (pod, id) in [
        ("shop_web-0_2f0d1c9e-8f43-4a5f-9a52-7c5e1c1b1a10", "a"),
        ("kube-system_etcd-node-1_0123456789abcdef0123456789abcdef", "b"),
    ] {
        let id = id.repeat(64);
        let real = root.join(format!("disk/docker/containers/{id}/{id}-json.log"));
        write(&real, "one\n");
        fs::create_dir_all(root.join(format!("var-log/pods/{pod}/main"))).expect("directories");
        fs::create_dir_all(root.join("var-log/containers")).expect("directories");
        symlink(&real, root.join(format!("var-log/pods/{pod}/main/3.log"))).expect("link");
        let link = root.join(format!("var-log/containers/pod_ns_main-{id}.log"));
        symlink(root.join(format!("var-log/pods/{pod}/main/3.log")), link).expect("link");
    }
    write(&root.join("disk/docker/containers/ccc/ccc-json.log"), "one\n");
    symlink(root.join("var-log"), root.join("log")).expect("link");
    let spec =
        spec(&root, &["disk/docker/containers/*/*-json.log", "log/containers/*.log", "log/pods/*/*/*.log"]);
    let listings = Follower::of(&spec, &[], 100).look();
    let mut shown: Vec<String> = listings
        .iter()
        .map(|listing| listing.shown.strip_prefix(&root).expect("inside").display().to_string())
        .collect();
    shown.sort();
    assert_eq!(
        shown,
        [
            "disk/docker/containers/ccc/ccc-json.log",
            "log/pods/kube-system_etcd-node-1_0123456789abcdef0123456789abcdef/main/3.log",
            "log/pods/shop_web-0_2f0d1c9e-8f43-4a5f-9a52-7c5e1c1b1a10/main/3.log",
        ]
    );
}

/// Only rotated files are wanted: the log is left out until it is rotated itself.
#[test]
fn a_log_that_is_excluded_is_read_once_it_has_another_name() {
    let (_dir, root) = world();
    write(&root.join("x.log.1"), "one\n");
    write(&root.join("x.log"), "two\n");
    let exclude = vec![format!("{}/x.log", root.display())];
    let spec = FileSpec { exclude, ..spec(&root, &["x.log.*"]) };
    let mut follower = Follower::of(&spec, &[], 100);
    follower.look();
    assert_eq!(follower.log().read, b"one\n");
    fs::rename(root.join("x.log.1"), root.join("x.log.2")).expect("rename");
    fs::rename(root.join("x.log"), root.join("x.log.1")).expect("rename");
    write(&root.join("x.log"), "three\n");
    follower.look();
    follower.pass(Duration::from_secs(2));
    assert_eq!(follower.log().read, b"one\ntwo\n");
}

#[test]
fn loops_of_symlinks_end() {
    let (_dir, root) = world();
    write(&root.join("a/b/x.log"), "x\n");
    symlink(&root, root.join("a/b/up")).expect("link");
    symlink(root.join("a"), root.join("a/b/again")).expect("link");
    symlink("self", root.join("a/self")).expect("link");
    assert_eq!(found(&root, &spec(&root, &["**/*.log"])), ["a/b/x.log"]);
}

#[test]
fn what_is_excluded_is_left_out_also_by_its_directory_or_its_real_name() {
    let (_dir, root) = world();
    for name in ["a/x.log", "a/y.log", "b/x.log", "secret/z.log"] {
        write(&root.join(name), "x\n");
    }
    symlink(root.join("secret/z.log"), root.join("a/z.log")).expect("link");
    let exclude = ["*/y.log", "b", "secret"].map(|glob| format!("{}/{glob}", root.display()));
    let spec = FileSpec { exclude: exclude.to_vec(), ..spec(&root, &["*/*.log"]) };
    assert_eq!(found(&root, &spec), ["a/x.log"]);
}

#[test]
fn rotated_files_belong_to_their_base_where_it_is_there() {
    let (_dir, root) = world();
    for name in ["app.log", "app.log.1", "app.log.2.gz.tmp", "worker.1", "worker.2", "x.log-20260102"] {
        write(&root.join(name), &format!("{name}\n"));
    }
    let mut follower = Follower::of(&spec(&root, &["*"]), &[], 100);
    let listings = follower.look();
    let expected = ["app.log", "app.log.2.gz.tmp", "worker.1", "worker.2", "x.log-20260102"];
    assert_eq!(names(&root, &listings), expected);
    let app = listings.iter().find(|listing| listing.lineage.ends_with("app.log")).expect("found");
    assert_eq!(app.files.iter().map(|file| file.generation).collect::<Vec<_>>(), [0, 1]);
    assert_eq!((&app.specs[..], app.at_start), (&[3][..], true));
}

#[test]
fn files_too_old_are_left_out_and_only_what_is_written_to_them_later_is_read() {
    let (_dir, root) = world();
    for name in ["old.log", "old.log.1", "new.log", "new.log.1"] {
        write(&root.join(name), "before\n");
    }
    let past = SystemTime::now() - Duration::from_secs(7200);
    for name in ["old.log", "old.log.1", "new.log.1"] {
        fs::File::options().write(true).open(root.join(name)).expect("open").set_modified(past).expect("set");
    }
    let spec = FileSpec { ignore_older: Some(Duration::from_secs(3600)), ..spec(&root, &["*.log"]) };
    let mut follower = Follower::of(&spec, &[], 100);
    assert_eq!(names(&root, &follower.look()), ["new.log"]);
    assert_eq!(follower.log().read, b"before\n");
    fs::write(root.join("old.log"), "before\nafter\n").expect("write");
    assert_eq!(names(&root, &follower.look()), ["old.log"]);
    assert_eq!(follower.logs.values().nth(1).expect("two").read, b"after\n");
}

#[test]
fn a_bound_on_open_files_delays_and_loses_nothing() {
    let (_dir, root) = world();
    for number in 0..20 {
        write(&root.join(format!("{number}.log")), &format!("line of {number}\n"));
    }
    let mut follower = Follower::of(&spec(&root, &["*.log"]), &[], 4);
    follower.closes = true;
    for _ in 0..10 {
        let listings = follower.scanner.scan_all();
        assert!(follower.files.open() <= 4);
        follower.take(listings);
        follower.read();
    }
    assert_eq!(follower.logs.len(), 20);
    for (path, log) in &follower.logs {
        let number = path.file_stem().expect("stem").to_str().expect("UTF-8");
        assert_eq!(log.read, format!("line of {number}\n").as_bytes());
    }
    assert!(follower.files.wanted() > 0);
}

#[test]
fn a_damaged_gz_is_an_error_told_once_and_the_rest_goes_on() {
    let (_dir, root) = world();
    write(&root.join("0.log.1.gz"), "this is not gzip at all, however it is called\n");
    write(&root.join("0.log"), "fine\n");
    let mut follower = Follower::of(&spec(&root, &["0.log"]), &[], 100);
    follower.look();
    let errors = follower.scanner.take_errors();
    assert!(errors.len() == 1 && errors[0].path.ends_with("0.log.1.gz"), "{errors:?}");
    assert_eq!(errors[0].kind, std::io::ErrorKind::InvalidData);
    follower.look();
    assert!(follower.scanner.take_errors().is_empty());
    assert_eq!(follower.log().read, b"fine\n");
}

#[test]
fn other_specs_keep_what_is_known_and_report_what_nobody_wants() {
    let (_dir, root) = world();
    write(&root.join("a.log"), "a\n");
    write(&root.join("b.log"), "b\n");
    let mut follower = Follower::of(&spec(&root, &["*.log"]), &[], 100);
    follower.look();
    let other = FileSpec { id: 9, ..spec(&root, &["b.log"]) };
    follower.scanner.set_specs(&[other]).expect("patterns");
    let mut listings = follower.look();
    listings.sort_by(|a, b| a.lineage.cmp(&b.lineage));
    assert_eq!(listings.iter().map(|listing| listing.specs.clone()).collect::<Vec<_>>(), [vec![], vec![9]]);
    assert_eq!(follower.logs.values().map(|log| log.read.len()).collect::<Vec<_>>(), [2, 2]);
}

#[test]
fn ten_thousand_idle_files_cost_little() {
    // In memory where that is possible: ext4 takes seconds to make the files.
    let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("temporary directory");
    let root = dir.path().canonicalize().expect("exists");
    let past = SystemTime::now() - Duration::from_secs(60);
    for pod in 0..2000 {
        let dir = root.join(format!("pods/ns_pod-{pod}_uid/main"));
        fs::create_dir_all(&dir).expect("directories");
        for name in ["0.log", "0.log.1", "0.log.2", "0.log.3", "0.log.4"] {
            fs::write(dir.join(name), format!("{pod} {name}\n")).expect("write");
        }
        for dir in [&dir, dir.parent().expect("the pod's"), &root.join("pods")] {
            fs::File::open(dir).and_then(|dir| dir.set_modified(past)).expect("set the time");
        }
    }
    let mut follower = Follower::of(&spec(&root, &["pods/*/*/*.log"]), &[], 20_000);
    let began = Instant::now();
    let listings = follower.scanner.scan_all();
    println!("first scan of 10,000 files in 4,001 directories: {:?}", began.elapsed());
    assert_eq!(listings.len(), 2000);
    follower.take(listings);
    for _ in 0..5 {
        let before = cpu();
        assert!(follower.scanner.scan_all().is_empty());
        println!("quiet: {:?} of CPU, {:?}", cpu() - before, follower.scanner.last_cost());
    }
    let cost = follower.scanner.last_cost();
    assert!(cost.listed < 400 && cost.files <= 10_000, "{cost:?}");
}

/// Time that this thread spent on a processor.
fn cpu() -> Duration {
    let stat = fs::read_to_string("/proc/thread-self/schedstat").expect("procfs");
    Duration::from_nanos(stat.split(' ').next().expect("three numbers").parse().expect("nanoseconds"))
}
