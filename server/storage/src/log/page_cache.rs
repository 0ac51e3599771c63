//! What the page cache holds of a log that nobody is about to read.

use flymq_types::Offset;

use super::Log;
use crate::error::{IoContext, Result};

impl Log {
    /// Lets the page cache go of the closed segments that begin at or behind `from` and are on disk as a whole. Returns
    /// where the next call goes on.
    ///
    /// For a replica that writes much and is not read meanwhile: its pages would take the place of those that are read, and
    /// a new page costs more than one that has just been given back (ADR 4).
    ///
    /// # Errors
    /// `Io`, `Closed`.
    pub fn drop_page_cache(&self, from: Offset) -> Result<Offset> {
        self.0.check_open()?;
        let durable = self.durable_offset().0;
        let closed: Vec<_> = {
            let view = self.0.view.lock();
            let (_, closed) = view.segments.split_last().unzip();
            let first =
                |closed: &[super::SegmentView]| closed.partition_point(|view| view.range().start < from.0);
            let closed = closed.map_or(&[][..], |closed| &closed[first(closed)..]);
            closed.iter().take_while(|view| view.range().end <= durable).cloned().collect()
        };
        for view in &closed {
            view.segment.file.drop_cache().on("drop the page cache of", &view.segment.path)?;
        }
        Ok(closed.last().map_or(from, |view| Offset(view.range().end)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::SimDisk;
    use crate::log::tests::support::*;

    #[test]
    fn only_what_is_closed_and_on_disk_is_let_go_and_only_once() {
        let disk = SimDisk::new();
        let fixture = Fixture::open(&disk, from_files(4096));
        let starts = |fixture: &Fixture| fixture.log.stats().segments;
        while starts(&fixture) < 4 {
            fixture.put(&[&[1; 300]]).unwrap();
        }
        assert_eq!(
            fixture.log.drop_page_cache(Offset::ZERO).unwrap(),
            Offset::ZERO,
            "nothing is on disk yet"
        );
        fixture.sync();
        let dropped = disk.cache_drops();
        let on = fixture.log.drop_page_cache(Offset(1)).unwrap();
        assert_eq!(disk.cache_drops() - dropped, 2, "not the first, in which it begins, nor the last");
        assert_eq!(fixture.log.drop_page_cache(on).unwrap(), on);
        assert_eq!(disk.cache_drops() - dropped, 2);
        assert!(on < fixture.log.end_offset() && on > Offset(1));
    }
}
