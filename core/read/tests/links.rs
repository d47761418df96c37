//! Where symlinks may lead: whoever writes in a directory of logs must not choose which file the agent reads.

mod follower;

use std::fs;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use follower::Follower;
use ringtail_io::{RealClock, RealFs};
use ringtail_read::{FileSpec, OpenFiles, ScanError, Scanner};

fn world() -> (tempfile::TempDir, PathBuf) {
    let dir = tempfile::tempdir().expect("temporary directory");
    let root = dir.path().canonicalize().expect("exists");
    write(&root.join("etc/shadow"), "secret\n");
    (dir, root)
}

fn write(path: &Path, text: &str) {
    fs::create_dir_all(path.parent().expect("parent")).expect("directories");
    fs::write(path, text).expect("write");
}

fn link(to: impl AsRef<Path>, at: &Path) {
    fs::create_dir_all(at.parent().expect("parent")).expect("directories");
    symlink(to, at).expect("link");
}

fn follower(root: &Path, paths: &[&str]) -> Follower {
    let absolute = |path: &&str| format!("{}/{path}", root.display());
    let spec = FileSpec { id: 3, paths: paths.iter().map(absolute).collect(), ..FileSpec::default() };
    Follower::of(&spec, &[], 100)
}

/// Everything that was read, in the order of the names.
fn read(follower: &Follower) -> String {
    follower.logs.values().map(|log| String::from_utf8_lossy(&log.read)).collect()
}

/// The paths that were refused, below `root`, and where they lead.
fn refused(root: &Path, errors: &[ScanError]) -> Vec<(String, String)> {
    let below = |path: &Path| path.strip_prefix(root).expect("inside").display().to_string();
    let mut refused: Vec<_> = errors
        .iter()
        .filter_map(|error| Some((below(&error.path), below(error.leads_to.as_ref()?))))
        .collect();
    refused.sort();
    refused
}

/// Links to a file, to a directory, over another link, and of a rotated name.
#[test]
fn what_leads_out_is_not_read_and_told_once() {
    let (_dir, root) = world();
    let volume = root.join("volume");
    write(&volume.join("good.log"), "good\n");
    link(root.join("etc/shadow"), &volume.join("x.log"));
    link("../etc/shadow", &volume.join("y.log"));
    link("x.log", &volume.join("z.log"));
    link(root.join("etc"), &volume.join("dir"));
    link(root.join("etc/shadow"), &volume.join("good.log.1"));
    let mut follower = follower(&root, &["volume/*.log", "volume/*/shadow", "volume/**/*.log"]);
    follower.look();
    assert_eq!(read(&follower), "good\n");
    let errors = follower.scanner.take_errors();
    let secret = || "etc/shadow".to_owned();
    let expected = [("dir", "etc".to_owned()), ("x.log", secret()), ("y.log", secret()), ("z.log", secret())];
    let expected = expected.map(|(name, to)| (format!("volume/{name}"), to));
    assert_eq!(refused(&root, &errors), expected);
    assert!(errors[0].to_string().contains("name it in `paths`"), "{}", errors[0]);
    for _ in 0..3 {
        follower.look();
    }
    assert_eq!(follower.scanner.take_errors(), []);
    // What takes the link's place is a log like any other.
    fs::remove_file(volume.join("x.log")).expect("removed");
    write(&volume.join("x.log"), "mine\n");
    follower.look();
    assert_eq!(read(&follower), "good\nmine\n");
}

/// The last name of a path without wildcards is the container's too, the directories before it are not.
#[test]
fn the_directories_before_the_pattern_may_be_links_its_last_name_may_not_lead_out() {
    let (_dir, root) = world();
    write(&root.join("disk/logs/app/a.log"), "a\n");
    link(root.join("disk"), &root.join("var"));
    link(root.join("disk/logs"), &root.join("logs"));
    link(root.join("etc/shadow"), &root.join("disk/logs/app/b.log"));
    let mut exact = follower(&root, &["var/logs/app/a.log", "var/logs/app/b.log"]);
    exact.look();
    assert_eq!((read(&exact).as_str(), exact.scanner.take_errors().len()), ("a\n", 1));
    let mut wild = follower(&root, &["logs/*/*.log"]);
    wild.look();
    assert_eq!((read(&wild).as_str(), wild.scanner.take_errors().len()), ("a\n", 1));
}

/// `/var/log/containers` leads to `/var/log/pods`, that to docker's directory, wherever these are; and nothing else there
/// can be reached: `config.v2.json` has the environment of the container.
#[test]
fn the_links_of_kubelet_and_docker_are_followed_without_being_named() {
    let (_dir, root) = world();
    let id = "0123456789abcdef".repeat(4);
    let docker = root.join("data/docker/containers").join(&id);
    write(&docker.join(format!("{id}-json.log")), "hello\n");
    write(&docker.join("config.v2.json"), "PASSWORD\n");
    let pod = root.join("kubelet/pods/shop_web-0_8f1c/app");
    link(docker.join(format!("{id}-json.log")), &pod.join("0.log"));
    link(docker.join("config.v2.json"), &pod.join("1.log"));
    link(pod.join("0.log"), &root.join(format!("kubelet/containers/web-0_shop_app-{id}.log")));
    for pattern in ["kubelet/containers/*.log", "kubelet/pods/*/*/*.log"] {
        let mut follower = follower(&root, &[pattern]);
        follower.look();
        assert_eq!(read(&follower), "hello\n", "{pattern}");
    }
}

#[test]
fn a_link_is_followed_below_its_directory_and_to_what_a_pattern_names() {
    let (_dir, root) = world();
    write(&root.join("app/logs/2026/x"), "below\n");
    link("2026/x", &root.join("app/logs/current.log"));
    link(root.join("app/logs/2026"), &root.join("app/logs/today"));
    write(&root.join("other/y.txt"), "named\n");
    link(root.join("other/y.txt"), &root.join("app/logs/y.log"));
    let mut without = follower(&root, &["app/logs/*.log", "app/logs/today/*"]);
    without.look();
    assert_eq!((read(&without).as_str(), without.scanner.take_errors().len()), ("below\n", 1));
    let mut with = follower(&root, &["app/logs/*.log", "other/*.txt"]);
    with.look();
    assert_eq!((read(&with).as_str(), with.scanner.take_errors().len()), ("below\nnamed\n", 0));
}

/// A link that was fine is pointed at the secret, and a directory on the way is swapped for a link.
#[test]
fn a_link_that_leads_out_later_is_refused_then() {
    let (_dir, root) = world();
    let volume = root.join("volume");
    write(&volume.join("real/x"), "one\n");
    write(&volume.join("sub/y.log"), "two\n");
    write(&root.join("etc/y.log"), "secret\n");
    link("real/x", &volume.join("x.log"));
    let mut follower = follower(&root, &["volume/*.log", "volume/*/*.log"]);
    follower.look();
    assert_eq!(read(&follower), "one\ntwo\n");
    fs::remove_file(volume.join("x.log")).expect("removed");
    link(root.join("etc/shadow"), &volume.join("x.log"));
    fs::rename(volume.join("sub"), volume.join("away")).expect("renamed");
    link(root.join("etc"), &volume.join("sub"));
    for _ in 0..4 {
        follower.look();
    }
    assert!(!read(&follower).contains("secret"));
    let expected = [("volume/sub", "etc"), ("volume/x.log", "etc/shadow")];
    let expected = expected.map(|(name, to)| (name.to_owned(), to.to_owned()));
    assert_eq!(refused(&root, &follower.scanner.take_errors()), expected);
}

/// A container links its neighbour's log under a name that tells another pod: the records keep the name of their own.
#[test]
fn a_link_does_not_give_the_log_of_a_pod_another_name() {
    let (_dir, root) = world();
    let log = root.join("kubelet/pods/shop_web-0_8f1c/app/0.log");
    write(&log, "hello\n");
    link(&log, &root.join("a-volume/kube-system_evil_1234/app/0.log"));
    let mut follower = follower(&root, &["a-volume/*/*/*.log", "kubelet/pods/*/*/*.log"]);
    let listings = follower.look();
    assert_eq!(listings.len(), 1);
    assert_eq!(*listings[0].shown, *log);
}

/// The same of logs whose own path does not tell the pod.
#[test]
fn a_link_does_not_give_any_log_another_name() {
    let (_dir, root) = world();
    let [_, docker] = neighbours(&root);
    let volume = root.join("volumes/b/app.log");
    write(&volume, "hello\n");
    link(&docker, &root.join("volumes/a/kube-system_evil_1234/app/0.log"));
    link(&docker, &root.join("volumes/a/pods/kube-system_evil_1234/app/0.log"));
    link("../b/app.log", &root.join("volumes/a/app.log"));
    link("../../b/app.log", &root.join("volumes/a/shop_web_1234/app.log"));
    let mut follower = follower(&root, &["volumes/**/*.log", "docker/containers/*/*-json.log"]);
    let mut shown: Vec<_> = follower.look().iter().map(|listing| listing.shown.to_path_buf()).collect();
    shown.sort();
    assert_eq!(shown, [docker, volume]);
}

const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

/// Another pod's log under kubelet's directory, and another container's under docker's.
fn neighbours(root: &Path) -> [PathBuf; 2] {
    let logs = [
        root.join("kubelet/pods/bank_vault-0_8f1c/app/0.log"),
        root.join(format!("docker/containers/{ID}/{ID}-json.log")),
    ];
    logs.iter().for_each(|log| write(log, "secret\n"));
    logs
}

/// Whatever a container calls its links and the directories that it makes for them: the form of kubelet's is no passport.
#[test]
fn a_container_cannot_link_its_neighbours_logs() {
    let (_dir, root) = world();
    let [pod, docker] = neighbours(&root);
    let volume = root.join("volume");
    write(&volume.join("good.log"), "good\n");
    for (name, to) in [
        ("x.log", &pod),
        ("y.log", &docker),
        ("bank_vault-0_8f1c/app/0.log", &docker),
        ("pods/bank_vault-0_8f1c/app/0.log", &docker),
        ("containers/vault-0_bank_app-ID.log", &pod),
        ("vault-0_bank_app-ID.log", &docker),
    ] {
        link(to, &volume.join(name.replace("ID", ID)));
    }
    link("pods/bank_vault-0_8f1c/app/0.log", &volume.join("z.log"));
    let mut follower = follower(&root, &["volume/*.log", "volume/**/*.log", "volume/*/*/*.log"]);
    follower.look();
    assert_eq!(read(&follower), "good\n");
    assert_eq!(follower.scanner.take_errors().len(), 7);
}

/// A link that is refused for one pipeline is not followed because another one may read its target.
#[test]
fn what_another_pipeline_reads_is_not_given_to_this_one() {
    let (_dir, root) = world();
    let [pod, _] = neighbours(&root);
    link(&pod, &root.join("volume/x.log"));
    let spec = |id: u32, pipeline, pattern: &str| {
        let paths = vec![format!("{}/{pattern}", root.display())];
        FileSpec { id, pipeline, paths, ..FileSpec::default() }
    };
    let specs_of_the_log = |specs: &[FileSpec]| {
        let (fs, clock) = (Arc::new(RealFs), Arc::new(RealClock::new()));
        let mut scanner = Scanner::new(fs, clock, OpenFiles::new(10), specs).expect("patterns");
        let listings = scanner.scan_all();
        assert_eq!(listings.len(), 1);
        (listings[0].specs.clone(), scanner.take_errors().len())
    };
    let (volume, pods) = ("volume/*.log", "kubelet/pods/*/*/*.log");
    assert_eq!(specs_of_the_log(&[spec(1, 1, volume), spec(2, 2, pods)]), (vec![2], 1));
    assert_eq!(specs_of_the_log(&[spec(1, 1, volume), spec(2, 1, pods)]), (vec![1, 2], 0));
}

/// Where somebody else than root writes too, and in directories that the operator did not name, nobody knows who made a link.
#[test]
fn the_links_of_kubelet_are_followed_only_where_it_alone_writes() {
    let (_dir, root) = world();
    let [pod, docker] = neighbours(&root);
    let kubelet = root.join("kubelet");
    link(&docker, &kubelet.join("pods/bank_vault-1_8f1c/app/0.log"));
    link(&pod, &kubelet.join(format!("containers/vault-0_bank_app-{ID}.log")));
    // The name of one pod on the log of another.
    link(&pod, &kubelet.join(format!("containers/web-0_shop_app-{ID}.log")));
    let read = |pattern: &str| {
        let mut follower = follower(&root, &[pattern]);
        follower.look();
        (read(&follower).lines().count(), follower.scanner.take_errors().len())
    };
    assert_eq!(read("kubelet/containers/*.log"), (1, 1));
    assert_eq!(read("kubelet/pods/*vault-1*/*/*.log"), (1, 0));
    assert_eq!(read("kubelet/*/*vault-1*/*/*.log"), (0, 1), "not named");
    for (mode, expected) in [(0o777, (0, 1)), (0o1777, (0, 1)), (0o775, (0, 1)), (0o755, (1, 0))] {
        for dir in ["pods", "pods/bank_vault-1_8f1c", "pods/bank_vault-1_8f1c/app"] {
            let give = |mode| fs::set_permissions(kubelet.join(dir), fs::Permissions::from_mode(mode));
            give(mode).expect("given");
            assert_eq!(read("kubelet/pods/*vault-1*/*/*.log"), expected, "{dir} {mode:o}");
            give(0o755).expect("given");
        }
    }
}

/// A link of kubelet's is pointed at the log of another container, while it is followed.
#[test]
fn a_link_of_kubelet_that_leads_to_another_container_later_is_refused_then() {
    let (_dir, root) = world();
    let [pod, _] = neighbours(&root);
    let own = root.join("kubelet/pods/shop_web-0_8f1c/app/0.log");
    write(&own, "hello\n");
    let at = root.join(format!("kubelet/containers/web-0_shop_app-{ID}.log"));
    link(root.join("hop"), &at);
    link(&own, &root.join("hop"));
    let mut follower = follower(&root, &["kubelet/containers/*.log"]);
    follower.look();
    assert_eq!(read(&follower), "hello\n");
    fs::remove_file(root.join("hop")).expect("removed");
    link(&pod, &root.join("hop"));
    (0..4).for_each(|_| drop(follower.look()));
    assert_eq!(read(&follower), "hello\n");
    assert_eq!(follower.scanner.take_errors().len(), 1);
}

/// Links of the kernel's own to what the agent has open itself, dots, and a link to the agent's own environment.
#[test]
fn magic_links_and_dots_lead_nowhere() {
    let (_dir, root) = world();
    let volume = root.join("volume");
    write(&volume.join("good.log"), "good\n");
    let open = fs::File::open(root.join("etc/shadow")).expect("opened");
    let fd = open.as_raw_fd();
    let up = "../".repeat(40);
    for (number, to) in [
        format!("/proc/self/fd/{fd}"),
        format!("/proc/self/root{}/etc/shadow", root.display()),
        format!("/proc/self/task/{}/fd/{fd}", std::process::id()),
        "/proc/self/environ".to_owned(),
        format!("{up}{}", root.join("etc/shadow").strip_prefix("/").expect("absolute").display()),
        "good.log/../../etc/shadow".to_owned(),
        "./../volume/../etc/shadow".to_owned(),
        "/dev/stdin".to_owned(),
        "/dev/zero".to_owned(),
    ]
    .iter()
    .enumerate()
    {
        link(to, &volume.join(format!("{number}.log")));
    }
    link("/proc/self/cwd", &volume.join("cwd"));
    link("/proc/self/root", &volume.join("root"));
    let mut follower = follower(&root, &["volume/*.log", "volume/*/*.toml", "volume/*/etc/*"]);
    (0..3).for_each(|_| drop(follower.look()));
    assert_eq!(read(&follower), "good\n");
}
