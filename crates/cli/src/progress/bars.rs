//! Blobs on their way, as bars: how much of them is there, how fast it comes, and how long it takes.

use std::time::Duration;

use dfbuild::TransferState;

use super::transfer::Transfer;
use crate::units::human_size;

/// The blobs of one pull or push that are on their way.
#[derive(Default)]
pub(super) struct Bars {
    bars: Vec<Bar>,
}

struct Bar {
    transfer: Transfer,
    /// When it was first heard of, and how much was there then: a blob may be taken up in its middle.
    since: Duration,
    from: u64,
}

/// Before this time has gone by a rate is chance.
const SETTLED: Duration = Duration::from_millis(500);

/// Columns of a bar.
const WIDTH: usize = 20;

impl Bars {
    /// Takes news of a blob; one that is there has no bar any more.
    pub(super) fn update(&mut self, transfer: Transfer, at: Duration) {
        let Some(done) = moved(&transfer) else {
            self.bars.retain(|bar| bar.transfer.blob != transfer.blob);
            return;
        };
        match self.bars.iter_mut().find(|bar| bar.transfer.blob == transfer.blob) {
            // It had to begin again.
            Some(bar) if moved(&bar.transfer) > Some(done) => {
                *bar = Bar { transfer, since: at, from: done };
            }
            Some(bar) => bar.transfer = transfer,
            None => self.bars.push(Bar { transfer, since: at, from: done }),
        }
    }

    /// A line for each blob.
    pub(super) fn lines(&self, at: Duration) -> impl Iterator<Item = String> {
        self.bars.iter().map(move |bar| bar.line(at))
    }
}

impl Bar {
    fn line(&self, at: Duration) -> String {
        let size = self.transfer.size;
        let done = moved(&self.transfer).unwrap_or(size).min(size);
        let filled = usize::try_from(scaled(WIDTH as u64, done, size)).unwrap_or(WIDTH);
        let mut line = format!(
            "{}  [{}{}] {:>3}%  {} / {}",
            self.transfer.blob.short(),
            "#".repeat(filled),
            "-".repeat(WIDTH - filled),
            scaled(100, done, size),
            human_size(done),
            human_size(size)
        );
        let elapsed = at.saturating_sub(self.since);
        let milliseconds = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
        let rate = scaled(1000, done.saturating_sub(self.from), milliseconds);
        if elapsed >= SETTLED && rate > 0 {
            let left = (size - done).div_ceil(rate);
            line.push_str(&format!("  {}/s  {} left", human_size(rate), clock(left)));
        }
        line
    }
}

/// `whole` times `part` of `of`.
fn scaled(whole: u64, part: u64, of: u64) -> u64 {
    let scaled = u128::from(whole) * u128::from(part) / u128::from(of.max(1));
    u64::try_from(scaled).unwrap_or(u64::MAX)
}

/// `7s`, `2m05s`, `1h02m`.
fn clock(seconds: u64) -> String {
    match (seconds / 3600, seconds / 60 % 60, seconds % 60) {
        (0, 0, seconds) => format!("{seconds}s"),
        (0, minutes, seconds) => format!("{minutes}m{seconds:02}s"),
        (hours, minutes, _) => format!("{hours}h{minutes:02}m"),
    }
}

/// How much of a blob that is on its way is there.
fn moved(transfer: &Transfer) -> Option<u64> {
    match transfer.state {
        TransferState::Moving { done } => Some(done),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::diff_id;

    fn transfer(done: u64) -> Transfer {
        Transfer { blob: diff_id(), size: 20_000_000, state: TransferState::Moving { done } }
    }

    #[test]
    fn a_bar_tells_rate_and_time_left() {
        let mut bars = Bars::default();
        let at = |millis| Duration::from_millis(millis);
        let shown = |bars: &Bars, millis| bars.lines(at(millis)).collect::<Vec<_>>();
        let short = diff_id().short();
        bars.update(transfer(1_000_000), at(1000));
        let first = format!("{short}  [#-------------------]   5%  1MB / 20MB");
        assert_eq!(shown(&bars, 1100), [first]);
        bars.update(transfer(11_000_000), at(3000));
        let later = format!("{short}  [###########---------]  55%  11MB / 20MB  5MB/s  2s left");
        assert_eq!(shown(&bars, 3000), [later]);
        // It begins again.
        bars.update(transfer(0), at(3000));
        let again = format!("{short}  [--------------------]   0%  0B / 20MB");
        assert_eq!(shown(&bars, 3700), [again]);
        bars.update(Transfer { state: TransferState::Moved, ..transfer(0) }, at(4000));
        assert_eq!(shown(&bars, 4000), [""; 0]);
    }

    #[test]
    fn times() {
        for (seconds, text) in [(7, "7s"), (125, "2m05s"), (3725, "1h02m")] {
            assert_eq!(clock(seconds), text);
        }
    }
}
