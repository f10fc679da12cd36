//! Generated files: bytes, layout, manifest.

use crate::reading::{read_blob, sorted};
use costlake_sim::generator::{
    COLUMNS, GenerateConfig, GeneratedFile, Metric, RowOrder, generate_files,
};
use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

fn generate(folder: &Path, threads: usize, seed: u64) -> Vec<GeneratedFile> {
    let mut config = GenerateConfig::new(folder, 3_000);
    config.threads = Some(threads);
    config.enrollment.seed = seed;
    generate_files(&config, |_| {}).unwrap()
}

fn contents(files: &[GeneratedFile]) -> Vec<Vec<u8>> {
    files.iter().map(|file| fs::read(&file.path).unwrap()).collect()
}

#[test]
fn the_bytes_depend_on_the_seed_and_not_on_the_threads() {
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let one = contents(&generate(folders[0].path(), 1, 1));
    let two = contents(&generate(folders[1].path(), 2, 1));
    let other = contents(&generate(folders[2].path(), 2, 2));
    assert_eq!(one.len(), 18);
    assert!(one == two);
    assert!(one != other);
}

#[test]
fn in_random_order_files_have_the_same_rows_and_the_manifest_the_same_counts() {
    let folders: Vec<_> = (0..3).map(|_| tempfile::tempdir().unwrap()).collect();
    let shuffled = |folder: &Path, threads: usize| {
        let mut config = GenerateConfig::new(folder, 3_000);
        config.threads = Some(threads);
        config.enrollment.row_order = RowOrder::Random;
        generate_files(&config, |_| {}).unwrap()
    };
    let source = generate(folders[0].path(), 1, 1);
    let random = shuffled(folders[1].path(), 1);
    let again = contents(&shuffled(folders[2].path(), 2));
    assert!(contents(&random) == again, "the order depends on the seed and not on the threads");
    for (one, other) in source.iter().zip(&random) {
        assert_eq!((one.rows, one.bytes), (other.rows, other.bytes));
        let (one, other) =
            (read_blob(&fs::read(&one.path).unwrap()), read_blob(&fs::read(&other.path).unwrap()));
        assert_ne!(one, other);
        assert_eq!(sorted(one), sorted(other));
    }
    let manifest = |folder: &Path| fs::read(folder.join("actual/202506/manifest.json")).unwrap();
    assert_eq!(manifest(folders[0].path()), manifest(folders[1].path()));
}

#[test]
fn files_are_laid_out_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let counted = AtomicU64::new(0);
    let config = GenerateConfig::new(folder.path(), 3_000);
    let files = generate_files(&config, |progress| {
        counted.fetch_add(progress.bytes, Ordering::Relaxed);
    })
    .unwrap();
    let first = &files[0];
    assert_eq!(first.path, folder.path().join("actual/202505/part_0.csv"));
    assert_eq!((first.metric, first.month.to_string().as_str()), (Metric::ActualCost, "202505"));
    for (file, content) in files.iter().zip(contents(&files)) {
        assert_eq!(file.bytes, content.len() as u64);
        assert_eq!(file.rows, read_blob(&content).len() as u64);
    }
    assert_eq!(counted.into_inner(), files.iter().map(|file| file.bytes).sum::<u64>());
    let rows: u64 =
        files.iter().filter(|file| file.metric == Metric::ActualCost).map(|file| file.rows).sum();
    assert!((3_000..4_500).contains(&rows), "{rows}");
}

#[test]
fn every_part_starts_with_mark_and_header_and_ends_its_lines_with_crlf() {
    let folder = tempfile::tempdir().unwrap();
    for content in contents(&generate(folder.path(), 1, 3)) {
        let head = format!("\u{feff}{}\r\n", COLUMNS.join(","));
        assert!(content.starts_with(head.as_bytes()));
        assert!(content.ends_with(b"\r\n"));
    }
    assert_eq!(COLUMNS.len(), 57);
}

#[test]
fn the_manifest_agrees_with_the_parts() {
    let folder = tempfile::tempdir().unwrap();
    let files = generate(folder.path(), 2, 4);
    let text = fs::read_to_string(folder.path().join("amortized/202506/manifest.json")).unwrap();
    let manifest: serde_json::Value = serde_json::from_str(&text).unwrap();
    let parts: Vec<&GeneratedFile> = files
        .iter()
        .filter(|file| file.metric == Metric::AmortizedCost && file.month.to_string() == "202506")
        .collect();
    assert_eq!(manifest["exportConfig"]["type"], "AmortizedCost");
    assert_eq!(manifest["runInfo"]["startDate"], "2025-06-01T00:00:00");
    assert_eq!(manifest["runInfo"]["endDate"], "2025-06-30T00:00:00Z");
    assert_eq!(manifest["blobCount"], 3);
    assert_eq!(manifest["dataRowCount"], parts.iter().map(|part| part.rows).sum::<u64>());
    assert_eq!(manifest["byteCount"], parts.iter().map(|part| part.bytes).sum::<u64>());
    for (blob, part) in manifest["blobs"].as_array().unwrap().iter().zip(parts) {
        assert_eq!(blob["byteCount"], part.bytes);
        assert_eq!(folder.path().join(blob["blobName"].as_str().unwrap()), part.path);
    }
}
