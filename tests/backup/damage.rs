//! Every kind of file, spoiled in every way: found before the first record is restored.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
};

use crate::world::{World, name};

type Spoil = fn(&Path);

fn flip(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    fs::write(path, bytes).unwrap();
}

fn cut(path: &Path) {
    let bytes = fs::read(path).unwrap();
    fs::write(path, &bytes[..bytes.len() - 1]).unwrap();
}

fn lengthen(path: &Path) {
    let mut bytes = fs::read(path).unwrap();
    bytes.push(b'\n');
    fs::write(path, bytes).unwrap();
}

fn remove(path: &Path) {
    fs::remove_file(path).unwrap();
}

fn link(path: &Path) {
    let aside = path.with_extension("aside");
    fs::rename(path, &aside).unwrap();
    symlink(&aside, path).unwrap();
}

fn empty(path: &Path) {
    fs::write(path, "").unwrap();
}

const WAYS: [(&str, Spoil); 6] = [
    ("flipped", flip),
    ("cut", cut),
    ("lengthened", lengthen),
    ("removed", remove),
    ("linked", link),
    ("emptied", empty),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_spoiled_file_is_found_and_nothing_is_restored() {
    let world = World::start().await;
    world.create("t", &[0, 9]).await;
    world.fill("t", 2, 20).await;
    world.ok(&["create", "--all", "--chunk-bytes", "4000"], None);
    let files = world.files("");
    assert!(files.len() > 4 && files.iter().filter(|file| name(file).starts_with("backup-")).count() == 1);
    let mut spoiled = 0;
    for file in &files {
        let whole = fs::read(file).unwrap();
        for (way, spoil) in WAYS {
            spoil(file);
            for args in [&["verify"][..], &["restore", "--topic", "t:u"]] {
                let said = world.fails(args, None);
                assert!(
                    said.starts_with("error: ") && said.contains("hint: "),
                    "{way} {}: {said}",
                    file.display()
                );
            }
            assert!(!world.exists("u").await, "{way} {}: restored", file.display());
            spoiled += 1;
            let _ = fs::remove_file(file.with_extension("aside"));
            let _ = fs::remove_file(file);
            fs::write(file, &whole).unwrap();
        }
    }
    println!("{spoiled} spoiled files found, 0 restored from");
    world.ok(&["restore", "--topic", "t:u"], None);
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_and_newer_manifests_are_refused_by_name() {
    let world = World::start().await;
    assert!(world.fails(&["verify"], None).contains("holds no whole backup"));
    fs::create_dir(world.place()).unwrap();
    let manifest = world.place().join("backup-20260101T000000000Z-0badcafe.manifest");
    for (content, expected) in [
        ("PK\u{3}\u{4} not ours\n", "is not a FlyMQ backup"),
        (
            "{\"format\":\"flymq-backup\",\"version\":9}\n{}",
            "has backup format 9; this program knows formats up to 1",
        ),
        ("{\"format\":\"flymq-backup\",\"version\":1}\n{}", "sha-256"),
    ] {
        fs::write(&manifest, content).unwrap();
        let said = world.fails(&["restore"], None);
        assert!(said.contains(expected), "{content:?}: {said}");
    }
}

/// A file that holds `needle`, and where.
fn find(folder: &Path, needle: &[u8]) -> Option<(PathBuf, usize)> {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if let Some(found) = find(&path, needle) {
                return Some(found);
            }
        } else if let Some(at) =
            fs::read(&path).unwrap().windows(needle.len()).position(|part| part == needle)
        {
            return Some((path, at));
        }
    }
    None
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_broker_has_lost_is_named_and_the_rest_keeps_its_offsets() {
    let mut world = World::start().await;
    world.create("t", &[100]).await;
    world.fill("t", 1, 30).await;
    let before = world.contents("t").await;
    world.kill_broker();
    let (file, at) = find(&world.data().join("topics"), b"secret-0-12-3-").expect("it is on disk");
    let mut bytes = fs::read(&file).unwrap();
    bytes[at] ^= 1;
    fs::write(&file, bytes).unwrap();
    world.restart().await;
    let said = world.fails(&["create", "--all"], None);
    assert!(said.contains("are damaged on the broker's disk") && said.contains("--skip-damaged"), "{said}");
    assert!(world.files("backup-").is_empty());
    let output = world.run(&["create", "--all", "--skip-damaged"], None);
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success() && said.contains("are damaged and not in the backup"), "{said}");
    world.ok(&["restore", "--topic", "t:u"], None);
    let after = world.contents("u").await;
    let lost = |value: &[u8]| value.starts_with(b"secret-0-12-") || value.is_empty();
    let kept = |all: &[flymq_client::Message]| -> Vec<_> {
        all.iter().filter(|m| !lost(&m.value)).map(|m| (m.offset, m.value.clone())).collect()
    };
    assert!(after[&0].len() < before[&0].len());
    assert_eq!(kept(&after[&0]), kept(&before[&0]));
    // The hole is part of the topic from now on.
    world.ok(&["create", "--topic", "u"], None);
    world.ok(&["restore", "--topic", "u:v"], None);
    assert_eq!(kept(&world.contents("v").await[&0]), kept(&after[&0]));
    let end = world.client.topic("v").await.unwrap().partitions[0].high_watermark;
    assert_eq!(end, world.client.topic("t").await.unwrap().partitions[0].high_watermark);
}
