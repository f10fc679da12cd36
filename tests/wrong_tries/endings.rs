//! The program is ended from outside: by a signal, a closed pipe, a full disk.

use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use tempfile::TempDir;

use super::Files;
use crate::harness::{
    World, costlake, finish, lake_files, published, run, sound_rows, text, wait_until,
};

/// A lake with one state of 2025-07, and a run stuck in the middle of the next.
fn stuck_run(world: &World) -> std::process::Child {
    world.run(&["--period", "2025-07"]).exits(0);
    world.simulator.advance();
    let blobs = world.simulator.requests("blob");
    let stall = json!({ "type": "stall", "seconds": 600, "after_bytes": 2000 });
    world.simulator.fault(&json!({ "route": "blob", "skip": 2, "count": 1000, "action": stall }));
    let child = world.run_command(&["--period", "2025-07"]).spawn().unwrap();
    wait_until("a blob is being read", || {
        (world.simulator.requests("blob") > blobs + 2).then_some(())
    });
    child
}

fn signal(child: &std::process::Child, name: &str) {
    let status = Command::new("kill").args([name, &child.id().to_string()]).status().unwrap();
    assert!(status.success());
}

#[test]
fn ctrl_c_stops_cleanly_and_the_next_run_goes_on() {
    let world = World::small();
    let child = stuck_run(&world);
    let before = lake_files(&world.lake());
    signal(&child, "-INT");
    let outcome = finish(child).exits(130);
    assert!(!outcome.stderr.contains("panicked"), "{}", outcome.stderr);
    assert_eq!(before, lake_files(&world.lake()));
    world.simulator.forget_faults();
    world.run(&["--period", "2025-07"]).exits(0).shows(&["Published"]);
    assert_ne!(before, lake_files(&world.lake()));
    run(&["verify", "--lake", text(&world.lake())]).exits(0);
}

#[test]
fn a_killed_run_leaves_nothing_that_readers_see() {
    let world = World::small();
    let mut child = stuck_run(&world);
    let before = lake_files(&world.lake());
    child.kill().unwrap();
    child.wait().unwrap();
    assert_eq!(before, lake_files(&world.lake()));
    run(&["verify", "--lake", text(&world.lake())]).exits(0);
    world.simulator.forget_faults();
    world.run(&["--period", "2025-07"]).exits(0).shows(&["Published"]);
    let other = world.directory.path().join("other");
    world.run(&["--period", "2025-07", "--lake", text(&other)]).exits(0);
    assert_eq!(published(&world.lake()), published(&other), "the same bytes as without the kill");
}

#[test]
fn a_reader_that_closes_the_pipe_ends_the_program_quietly() {
    let files = Files::new();
    let lake = files.lake();
    let convert = ["convert", "--metric", "actual", "--progress", "none", "--lake", text(&lake)];
    let file = files.csv("sound.csv", &sound_rows());
    for args in
        [&["schema"][..], &["completions", "bash"], &[&convert[..], &[text(&file)]].concat()]
    {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let outcome = finish(costlake().args(args).stdout(writer).spawn().unwrap()).exits(0);
        assert!(!outcome.stderr.contains("panicked"), "{args:?}: {}", outcome.stderr);
        assert!(!outcome.stderr.contains("error"), "{args:?}: {}", outcome.stderr);
    }
}

/// A small disk of its own; unmounted when dropped.
struct SmallDisk(TempDir);

impl SmallDisk {
    fn mount(size: &str) -> Option<Self> {
        let directory = TempDir::new().unwrap();
        let mut command = Command::new("mount");
        command.args(["-t", "tmpfs", "-o", &format!("size={size}"), "tmpfs"]).arg(directory.path());
        let mounted = command.stderr(Stdio::null()).status();
        mounted.is_ok_and(|status| status.success()).then(|| Self(directory))
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        Command::new("umount").arg(self.0.path()).status().unwrap();
    }
}

#[test]
fn a_full_disk_is_said_and_the_old_month_stays() {
    let Some(disk) = SmallDisk::mount("300k") else {
        println!("skipped: a small disk cannot be mounted here");
        return;
    };
    let files = Files::new();
    let lake = disk.0.path().join("lake");
    let sound = files.csv("sound.csv", &sound_rows());
    let convert = |file: &Path| {
        let args = ["convert", text(file), "--metric", "actual", "--lake", text(&lake)];
        run(&[&args[..], &["--period", "2025-05", "--scope-name", "x"]].concat())
    };
    convert(&sound).exits(0);
    let before = lake_files(&lake);
    let generated = files.0.path().join("generated");
    run(&["simulate", "generate", "--rows", "16000", "--months", "1", "--out", text(&generated)])
        .exits(0);
    let big = generated.join("actual/202505/part_0.csv");
    let outcome = run(&[
        "convert",
        text(&big),
        text(&generated.join("actual/202505/part_1.csv")),
        "--metric",
        "actual",
        "--lake",
        text(&lake),
        "--period",
        "2025-05",
        "--scope-name",
        "x",
    ]);
    outcome.exits(1).says(&["hint:", "space"]);
    assert_eq!(before, lake_files(&lake), "the old month is as it was");
    run(&["verify", "--lake", text(&lake)]).exits(0);
    convert(&sound).exits(0).shows(&["Nothing new"]);
}
