//! Reading everything and telling what is not as it was written.

use std::io::ErrorKind;
use std::path::Path;

use flymq_types::{InflateLimits, PartitionId, TopicId};
use flymq_wire::batch::Records;

use super::report::{FindingKind, SegmentReport, VerifyReport};
use super::segment::OpenedSegment;
use super::walk::{BatchReport, PayloadState, Step, Walk, batch_report};
use super::{Inspector, LogDir};
use crate::checkpoint::{Checkpoint, Mark};
use crate::error::{Result, StorageError};
use crate::segment::tip::Tip;
use crate::segment::{index_path, log_path};

impl Inspector {
    /// Checks every segment at or under the path, and the files beside them, without writing.
    ///
    /// # Errors
    /// `Io` where a file cannot be read at all.
    pub fn verify(&self) -> Result<VerifyReport> {
        let mut report = VerifyReport { running: self.running.is_some(), ..VerifyReport::default() };
        for log in self.logs()? {
            report.partitions += 1;
            match self.verify_log(&log, &mut report) {
                Err(error) if self.running.is_some() && is_gone(&error) => {}
                result => result?,
            }
        }
        Ok(report)
    }

    fn verify_log(&self, log: &LogDir, report: &mut VerifyReport) -> Result<()> {
        let files = self.files(log)?;
        let checkpoint = self.checkpoint(log, report)?;
        self.check_epochs(log, report)?;
        for name in files.others {
            let what = "no part of a log; the next start removes or moves it".to_owned();
            report.add(FindingKind::Notice, log.path.join(name), None, what);
        }
        for base in files.orphaned {
            let what = "an index without a segment; the next start removes it".to_owned();
            report.add(FindingKind::Notice, index_path(&log.path, base), None, what);
        }
        let start = checkpoint.map_or(0, |checkpoint| checkpoint.log_start);
        let mut expected =
            files.segments.first().map(|first| start.max(*first)).or(checkpoint.map(|_| start));
        if let (Some(first), true) = (files.segments.first(), checkpoint.is_some())
            && *first > start
        {
            self.note_gap(log, start, *first, report);
        }
        for (i, base) in files.segments.iter().enumerate() {
            if let Some(expected) = expected.filter(|expected| expected < base && i > 0) {
                self.note_gap(log, expected, *base, report);
            }
            let last = i + 1 == files.segments.len();
            let next = self.verify_one(&log_path(&log.path, *base), checkpoint, last, report)?;
            expected = next.or(files.segments.get(i + 1).copied());
        }
        let lost = checkpoint.map(|checkpoint| checkpoint.mark.tip.next_offset);
        if let (Some(marked), Some(end)) = (lost, expected)
            && marked > end
            && self.running.is_none()
        {
            self.note_gap(log, end, marked, report);
        }
        Ok(())
    }

    fn note_gap(&self, log: &LogDir, from: u64, to: u64, report: &mut VerifyReport) {
        let what = "no segment has them".to_owned();
        report.add(FindingKind::Damage, log.path.clone(), Some((from, to)), what);
    }

    /// One segment; the offset behind it, if it could be told.
    fn verify_one(
        &self,
        path: &Path,
        checkpoint: Option<Checkpoint>,
        last: bool,
        report: &mut VerifyReport,
    ) -> Result<Option<u64>> {
        let mut found = VerifyReport::default();
        let next = match self.open_segment(path) {
            Ok(segment) => self.verify_segment(&segment, checkpoint, last, &mut found)?,
            Err(StorageError::UnknownFormat { found: version, .. }) => {
                let what = format!("has format version {version}, which this build does not know");
                found.add(FindingKind::Unchecked, path.to_owned(), None, what);
                None
            }
            Err(error) if self.running.is_some() && is_gone(&error) => return Ok(None),
            Err(error) => return Err(error),
        };
        // A broker may have removed, replaced or reused the file meanwhile.
        if self.running.is_some() && !found.findings.is_empty() && !self.disk.exists(path).unwrap_or(false) {
            return Ok(None);
        }
        report.segments += 1;
        report.batches += found.batches;
        report.records += found.records;
        report.bytes += found.bytes;
        report.findings.append(&mut found.findings);
        Ok(next)
    }

    fn verify_segment(
        &self,
        segment: &OpenedSegment,
        checkpoint: Option<Checkpoint>,
        last: bool,
        report: &mut VerifyReport,
    ) -> Result<Option<u64>> {
        let path = &segment.path;
        if segment.header.is_none() {
            let what = "the header is damaged; the batches are read without it".to_owned();
            report.add(FindingKind::Damage, path.clone(), None, what);
        }
        if let (Some(header), Some(owner)) = (&segment.header, owner(path))
            && (header.topic_id, header.partition) != owner
        {
            let what = format!("it belongs to topic {}, partition {}", header.topic_id, header.partition);
            report.add(FindingKind::Damage, path.clone(), None, what);
        }
        if let Some(why) = &segment.unchecked {
            report.add(FindingKind::Unchecked, path.clone(), None, why.clone());
        }
        let mark = checkpoint.map(|checkpoint| checkpoint.mark);
        let mark = mark.filter(|mark| mark.incarnation == segment.incarnation);
        let Some(limit) = self.limit(segment, mark) else {
            return Ok(None);
        };
        let mut walk = Walk::new(segment, limit);
        while let Some(step) = walk.next()? {
            note_step(path, &step, report);
        }
        let tip = walk.tip;
        report.bytes += tip.position;
        match segment.footer {
            Some(footer) => check_footer(segment, &tip, &footer, report),
            None if !walk.is_blank()? => self.check_tail(segment, &tip, limit, mark, report),
            None => {}
        }
        if segment.footer.is_none() && !last {
            let what = "it has a successor and no good footer; the batches tell where it ends".to_owned();
            report.add(FindingKind::Damage, path.clone(), None, what);
        }
        self.verify_index(segment, &tip, report)?;
        Ok(Some(segment.footer.map_or(tip.next_offset, |footer| footer.next_offset)))
    }

    /// How far the segment may be judged: all of it, but beside a broker that writes it only what is durable.
    fn limit(&self, segment: &OpenedSegment, mark: Option<Mark>) -> Option<u64> {
        match (segment.footer, self.running) {
            (Some(footer), _) => Some(footer.position),
            (None, None) => Some(segment.file_bytes),
            (None, Some(_)) => mark.map(|mark| mark.tip.position),
        }
    }

    /// Bytes behind the last batch that are not blank.
    fn check_tail(
        &self,
        segment: &OpenedSegment,
        tip: &Tip,
        limit: u64,
        mark: Option<Mark>,
        report: &mut VerifyReport,
    ) {
        let path = segment.path.clone();
        match mark.filter(|mark| mark.tip.next_offset > tip.next_offset) {
            Some(mark) => {
                let offsets = (tip.next_offset, mark.tip.next_offset);
                let what = "no batch there is good, though they were durable".to_owned();
                report.add(FindingKind::Damage, path, Some(offsets), what);
            }
            None => {
                let bytes = limit - tip.position;
                let what = format!(
                    "at most {bytes} bytes of an unfinished append behind offset {}: the next start cuts them",
                    tip.next_offset
                );
                report.add(FindingKind::Notice, path, None, what);
            }
        }
    }

    /// The segments at or under the path, with their bounds.
    ///
    /// # Errors
    /// `Io`, `UnknownFormat`.
    pub fn segments(&self) -> Result<Vec<SegmentReport>> {
        let mut all = Vec::new();
        for log in self.logs()? {
            for base in self.files(&log)?.segments {
                let path = log_path(&log.path, base);
                if path == self.path || !self.path.starts_with(&path) && path.starts_with(&self.path) {
                    all.push(self.segment_report(&path)?);
                }
            }
        }
        if all.is_empty() && self.root.is_none() {
            all.push(self.segment_report(&self.path)?);
        }
        Ok(all)
    }

    fn segment_report(&self, path: &Path) -> Result<SegmentReport> {
        let segment = self.open_segment(path)?;
        let (mut batches, mut walk) = (0, Walk::new(&segment, segment.limit()));
        while let Some(step) = walk.next()? {
            batches += u64::from(matches!(step, Step::Batch { .. }));
        }
        let header = segment.header;
        Ok(SegmentReport {
            file: path.to_owned(),
            topic_id: header.map_or_else(String::new, |header| header.topic_id.to_string()),
            partition: header.map_or(0, |header| header.partition.0),
            base_offset: segment.base_offset,
            next_offset: walk.tip.next_offset,
            created_ms: header.map_or(0, |header| header.created.0),
            max_timestamp_ms: (walk.tip.max_timestamp != i64::MIN).then_some(walk.tip.max_timestamp),
            sealed: segment.footer.is_some(),
            encrypted: header.is_some_and(|header| header.encrypted),
            batches,
            records: walk.tip.next_offset - segment.base_offset,
            bytes: walk.tip.position,
            file_bytes: segment.file_bytes,
        })
    }

    /// Calls `visit` with every batch of the one segment at the path, and its records where they can be read, until it
    /// says false. Damaged stretches come as findings.
    ///
    /// # Errors
    /// `Io`, `UnknownFormat`.
    pub fn batches(
        &self,
        with_records: bool,
        mut visit: impl FnMut(BatchReport, Option<Records>) -> bool,
    ) -> Result<VerifyReport> {
        let segment = self.open_segment(&self.path)?;
        let mut report = VerifyReport { running: self.running.is_some(), ..VerifyReport::default() };
        let mut walk = Walk::new(&segment, segment.limit());
        while let Some(step) = walk.next()? {
            note_step(&segment.path, &step, &mut report);
            if let Step::Batch { position, header, payload, chained } = step {
                let whole = if with_records && payload == PayloadState::Good {
                    segment.batch(position, &header)?
                } else {
                    None
                };
                let records = whole.and_then(|batch| batch.open(&InflateLimits::BATCH).ok());
                if !visit(batch_report(position, &header, payload, chained), records) {
                    break;
                }
            }
        }
        Ok(report)
    }
}

impl OpenedSegment {
    fn limit(&self) -> u64 {
        self.footer.map_or(self.file_bytes, |footer| footer.position)
    }
}

fn note_step(path: &Path, step: &Step, report: &mut VerifyReport) {
    let path = path.to_owned();
    match step {
        Step::Damage { position, end, first, next } => {
            let what = if end > position {
                format!("bytes {position} to {end} are no batch")
            } else {
                format!("no batch has them; the one at byte {position} begins behind")
            };
            report.add(FindingKind::Damage, path, Some((*first, *next)), what);
        }
        Step::Batch { position, header, payload, chained } => {
            report.batches += 1;
            report.records += u64::from(header.record_count);
            let offsets = (header.server.base_offset, header.next_offset());
            if *payload == PayloadState::Bad {
                let what = format!("the payload of the batch at byte {position} does not fit its crc");
                report.add(FindingKind::Damage, path, Some(offsets), what);
            } else if !chained {
                let what =
                    format!("the batch at byte {position} does not continue the chain of the one before");
                report.add(FindingKind::Damage, path, Some(offsets), what);
            }
        }
    }
}

fn check_footer(segment: &OpenedSegment, tip: &Tip, footer: &Tip, report: &mut VerifyReport) {
    let path = segment.path.clone();
    if tip.next_offset < footer.next_offset {
        let what = format!("the bytes from {} on are no batch", tip.position);
        report.add(FindingKind::Damage, path, Some((tip.next_offset, footer.next_offset)), what);
    } else if (tip.position, tip.next_offset) != (footer.position, footer.next_offset) {
        let what = "the footer tells another end than the batches".to_owned();
        report.add(FindingKind::Damage, path, None, what);
    } else if tip.headers_crc != footer.headers_crc && report.findings.is_empty() {
        let what = "the batches are good, yet not those that the footer sums up".to_owned();
        report.add(FindingKind::Damage, path, Some((segment.base_offset, tip.next_offset)), what);
    }
}

fn is_gone(error: &StorageError) -> bool {
    matches!(error, StorageError::Io { source, .. } if source.kind() == ErrorKind::NotFound)
}

/// Whose directory a segment file lies in, by the names above it.
fn owner(path: &Path) -> Option<(TopicId, PartitionId)> {
    let name = |dir: &Path| dir.file_name().and_then(|name| name.to_str()).map(str::to_owned);
    let partition = path.parent()?;
    let topic = name(partition.parent()?)?.parse().ok()?;
    Some((topic, PartitionId(name(partition)?.parse().ok()?)))
}
