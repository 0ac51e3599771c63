//! What is done to a file behind the broker's back.

use std::{
    fs::{File, OpenOptions},
    ops::Range,
    os::unix::fs::FileExt as _,
    path::{Path, PathBuf},
};

use rand::{Rng as _, rngs::StdRng, seq::IndexedRandom as _};

use crate::specimen::Specimen;

#[derive(Debug, Clone)]
pub enum Injury {
    /// One bit of the byte at this place.
    Flip(usize, u8),
    /// The file ends here.
    Cut(usize),
    /// Zeros over these bytes.
    Zero(Range<usize>),
    Missing,
}

/// An injury, and what it must cost.
#[derive(Debug)]
pub struct Injured {
    pub topic: usize,
    pub file: PathBuf,
    pub injury: Injury,
    /// The offsets whose bytes it touches: they are refused, nothing else is.
    pub costs: Vec<u64>,
}

impl Injury {
    pub fn flip(bytes: usize, rng: &mut StdRng) -> Self {
        Self::Flip(rng.random_range(0..bytes.max(1)), 1 << rng.random_range(0..8))
    }

    /// Cut, zeroed or gone.
    pub fn loss(bytes: usize, rng: &mut StdRng) -> Self {
        match rng.random_range(0..5) {
            0 => Self::Cut(0),
            1 => Self::Cut(rng.random_range(0..bytes.max(1))),
            2 => Self::Zero(0..bytes),
            3 => {
                let from = rng.random_range(0..bytes.max(1));
                Self::Zero(from..(from + rng.random_range(1..6_000)).min(bytes))
            }
            _ => Self::Missing,
        }
    }

    /// Does it.
    pub fn inflict(&self, path: &Path) {
        let write = |bytes: &[u8], at: usize| open(path).write_all_at(bytes, at as u64).expect("written");
        match self {
            Self::Flip(at, bit) => {
                let mut byte = [0];
                // An empty file has no bit to flip.
                if open(path).read_exact_at(&mut byte, *at as u64).is_ok() {
                    write(&[byte[0] ^ bit], *at);
                }
            }
            Self::Cut(at) => open(path).set_len(*at as u64).expect("cut"),
            Self::Zero(range) => write(&vec![0; range.len()], range.start),
            Self::Missing => std::fs::remove_file(path).expect("removed"),
        }
    }

    /// Whether it changes any of these bytes of a file that had these contents.
    fn touches(&self, contents: &[u8], range: &Range<usize>) -> bool {
        match self {
            Self::Flip(at, _) => range.contains(at),
            Self::Cut(at) => range.end > *at,
            Self::Zero(zero) => {
                let both = range.start.max(zero.start)..range.end.min(zero.end);
                contents.get(both).is_some_and(|bytes| bytes.iter().any(|byte| *byte != 0))
            }
            Self::Missing => true,
        }
    }
}

impl Injured {
    /// An injury of a file of the topic, of any kind alike.
    pub fn choose(
        specimen: &Specimen,
        topic: usize,
        rng: &mut StdRng,
        injury: impl Fn(usize, &mut StdRng) -> Injury,
    ) -> Self {
        let files = specimen.files(topic);
        let kind =
            *["log", "index", "checkpoint", "epochs", "log", "log"].choose(rng).expect("there are kinds");
        let of_kind: Vec<_> = files.iter().filter(|file| self::kind(file) == kind).collect();
        let file = (*of_kind.choose(rng).unwrap_or_else(|| panic!("{kind}: {files:?}"))).clone();
        let bytes = specimen.bytes(&file);
        let injury = injury(bytes.len(), rng);
        let mut costs = Vec::new();
        if kind == "log" {
            let batches = specimen.batches(&file);
            let hit = batches.into_iter().filter(|(range, _)| injury.touches(&bytes, range));
            costs.extend(hit.flat_map(|(_, offsets)| offsets));
        }
        Self { topic, file, injury, costs }
    }
}

/// `log`, `index`, `checkpoint`, `epochs`.
pub fn kind(file: &Path) -> &str {
    file.extension().or(file.file_name()).and_then(|kind| kind.to_str()).unwrap_or_default()
}

fn open(path: &Path) -> File {
    OpenOptions::new().read(true).write(true).open(path).expect("the file is there")
}
