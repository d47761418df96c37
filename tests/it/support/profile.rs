//! The shipped seccomp profile as filters of this kernel, and programs under it.

use std::env;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;

use seccompiler::{BpfProgram, apply_filter, compile_from_json};
use serde_json::{Value, json};

/// What the profile answers to what it refuses.
pub(crate) const REFUSED: u32 = 1;

/// A profile is one filter for what it allows and one for each other answer: the kernel takes the least friendly answer
/// of all.
pub(crate) struct Profile(Vec<BpfProgram>);

impl Profile {
    /// The shipped one. It names calls of all architectures; what this one does not have is passed over, as runtimes do.
    pub(crate) fn shipped() -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../deploy/seccomp/ringtail.json");
        let profile: Value = serde_json::from_slice(&fs::read(path).expect("shipped")).expect("JSON");
        assert_eq!(
            (&profile["defaultAction"], &profile["defaultErrnoRet"]),
            (&json!("SCMP_ACT_ERRNO"), &json!(REFUSED))
        );
        let rules = || profile["syscalls"].as_array().expect("rules").iter();
        let answered = rules().filter(|rule| rule["action"] == "SCMP_ACT_ERRNO");
        let mut filters: Vec<BpfProgram> = answered
            .map(|rule| filter(&conditions(rule), &json!("allow"), &json!({ "errno": rule["errnoRet"] })))
            .collect();
        let passed: Vec<Value> = rules().flat_map(conditions).collect();
        filters.push(filter(&passed, &json!({ "errno": REFUSED }), &json!("allow")));
        Profile(filters)
    }

    /// Puts the calling thread under it, for good.
    pub(crate) fn apply(&self) {
        self.0.iter().for_each(|filter| apply_filter(filter).expect("the kernel takes the filter"));
    }

    /// What it answers to a call, an error number or nothing, without trying it.
    pub(crate) fn answer(&self, call: i64, args: [u64; 6]) -> Option<u32> {
        const ERRNO: u32 = 0x0005_0000;
        const ALLOW: u32 = 0x7fff_0000;
        let verdicts = self.0.iter().map(|filter| verdict(filter, call, args));
        match verdicts.min().expect("filters") {
            ALLOW => None,
            verdict if verdict & 0xffff_0000 == ERRNO => Some(verdict & 0xffff),
            other => panic!("{call}: {other:#x}"),
        }
    }
}

/// A rule in the words of seccompiler.
fn conditions(rule: &Value) -> Vec<Value> {
    let args = rule["args"].as_array().map_or(&[][..], |args| args).iter().map(|arg| {
        let (op, value) = match arg["op"].as_str().expect("an operator") {
            "SCMP_CMP_EQ" => (json!("eq"), &arg["value"]),
            "SCMP_CMP_MASKED_EQ" => (json!({ "masked_eq": arg["value"] }), &arg["valueTwo"]),
            other => panic!("{other} is not used so far"),
        };
        json!({ "index": arg["index"], "type": "qword", "op": op, "val": value })
    });
    let args: Vec<Value> = args.collect();
    let one = |name: &Value| match args.is_empty() {
        true => json!({ "syscall": name }),
        false => json!({ "syscall": name, "args": args }),
    };
    let names = rule["names"].as_array().expect("names").iter().map(one);
    names
        .filter(|call| compiled(std::slice::from_ref(call), &json!("allow"), &json!("log")).is_ok())
        .collect()
}

fn filter(calls: &[Value], mismatch: &Value, matched: &Value) -> BpfProgram {
    compiled(calls, mismatch, matched).unwrap_or_else(|error| panic!("{error}"))
}

fn compiled(calls: &[Value], mismatch: &Value, matched: &Value) -> Result<BpfProgram, seccompiler::Error> {
    let thread = json!({ "mismatch_action": mismatch, "match_action": matched, "filter": calls });
    let arch = env::consts::ARCH.try_into().expect("an architecture that seccompiler knows");
    let text = json!({ "thread": thread }).to_string();
    compile_from_json(text.as_bytes(), arch).map(|mut filters| filters.remove("thread").expect("compiled"))
}

/// What the kernel does with a filter: the classic BPF that seccompiler writes.
fn verdict(filter: &BpfProgram, call: i64, args: [u64; 6]) -> u32 {
    let arch: u32 = if cfg!(target_arch = "x86_64") { 0xc000_003e } else { 0xc000_00b7 };
    // struct seccomp_data: number, architecture, instruction pointer, six arguments.
    let mut data = Vec::from(u32::try_from(call).expect("a call").to_le_bytes());
    data.extend(arch.to_le_bytes().into_iter().chain([0; 8]));
    data.extend(args.iter().flat_map(|arg| arg.to_le_bytes()));
    let (mut at, mut word) = (0, 0_u32);
    loop {
        let instruction = &filter[at];
        let (k, skip) = (instruction.k, |taken| if taken { instruction.jt } else { instruction.jf });
        at += 1;
        at += match instruction.code {
            0x06 => return k,
            0x20 => {
                let from = usize::try_from(k).expect("an offset");
                word = u32::from_le_bytes(data[from..from + 4].try_into().expect("four bytes"));
                0
            }
            0x54 => {
                word &= k;
                0
            }
            0x05 => usize::try_from(k).expect("a jump"),
            0x15 => skip(word == k).into(),
            0x25 => skip(word > k).into(),
            0x35 => skip(word >= k).into(),
            0x45 => skip(word & k != 0).into(),
            other => panic!("seccompiler writes {other:#x} now"),
        };
    }
}

/// The program and its arguments, for the test that becomes it.
const UNDER_PROFILE: &str = "RINGTAIL_TEST_UNDER_PROFILE";

/// The same command under the profile. It cannot be started under it from here: the profile lets nobody start processes.
pub(crate) fn under_profile(command: &Command) -> Command {
    let words = std::iter::once(command.get_program()).chain(command.get_args());
    let words: Vec<&str> = words.map(|word| word.to_str().expect("UTF-8")).collect();
    let mut under = Command::new(env::current_exe().expect("this test"));
    under.args(["support::profile::what_is_asked_for_runs_under_the_profile", "--exact", "--nocapture"]);
    under.env(UNDER_PROFILE, json!(words).to_string());
    under.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    under
}

#[test]
fn what_is_asked_for_runs_under_the_profile() {
    let Ok(words) = env::var(UNDER_PROFILE) else { return };
    let words: Vec<String> = serde_json::from_str(&words).expect("JSON");
    Profile::shipped().apply();
    let mut command = Command::new(&words[0]);
    panic!("{}", command.args(&words[1..]).env_remove(UNDER_PROFILE).exec());
}
