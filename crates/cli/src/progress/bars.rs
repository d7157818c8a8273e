//! What is on its way, as bars: how much of it is there, how fast it comes, and how long it takes.

use std::time::Duration;

use crate::units::human_size;

/// What is on its way in one task: the blobs of a pull or a push, the bytes of an export.
#[derive(Default)]
pub(super) struct Bars {
    bars: Vec<Bar>,
}

struct Bar {
    /// Empty for what needs none.
    name: String,
    size: u64,
    done: u64,
    /// When it was first heard of, and how much was there then: a blob may be taken up in its middle.
    since: Duration,
    from: u64,
}

/// Before this time has gone by a rate is chance.
const SETTLED: Duration = Duration::from_millis(500);

/// Columns of a bar.
const WIDTH: usize = 20;

impl Bars {
    /// Takes news of something that has `done` of `size` bytes.
    pub(super) fn update(&mut self, name: &str, done: u64, size: u64, at: Duration) {
        let new = Bar { name: name.to_owned(), size, done, since: at, from: done };
        match self.bars.iter_mut().find(|bar| bar.name == name) {
            // It had to begin again.
            Some(bar) if bar.done > done => *bar = new,
            Some(bar) => (bar.done, bar.size) = (done, size),
            None => self.bars.push(new),
        }
    }

    /// What is there has no bar any more.
    pub(super) fn end(&mut self, name: &str) {
        self.bars.retain(|bar| bar.name != name);
    }

    /// A line for each.
    pub(super) fn lines(&self, at: Duration) -> impl Iterator<Item = String> {
        self.bars.iter().map(move |bar| bar.line(at))
    }
}

impl Bar {
    fn line(&self, at: Duration) -> String {
        let (size, done) = (self.size, self.done.min(self.size));
        let filled = usize::try_from(scaled(WIDTH as u64, done, size)).unwrap_or(WIDTH);
        let gap = if self.name.is_empty() { "" } else { "  " };
        let mut line = format!(
            "{}{gap}[{}{}] {:>3}%  {} / {}",
            self.name,
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_tells_rate_and_time_left() {
        let mut bars = Bars::default();
        let at = |millis| Duration::from_millis(millis);
        let shown = |bars: &Bars, millis| bars.lines(at(millis)).collect::<Vec<_>>();
        bars.update("4f4f", 1_000_000, 20_000_000, at(1000));
        let first = "4f4f  [#-------------------]   5%  1MB / 20MB";
        assert_eq!(shown(&bars, 1100), [first]);
        bars.update("4f4f", 11_000_000, 20_000_000, at(3000));
        let later = "4f4f  [###########---------]  55%  11MB / 20MB  5MB/s  2s left";
        assert_eq!(shown(&bars, 3000), [later]);
        // It begins again.
        bars.update("4f4f", 0, 20_000_000, at(3000));
        let again = "4f4f  [--------------------]   0%  0B / 20MB";
        assert_eq!(shown(&bars, 3700), [again]);
        bars.end("4f4f");
        bars.update("", 30, 20, at(0));
        assert_eq!(shown(&bars, 0), ["[####################] 100%  20B / 20B"]);
    }

    #[test]
    fn times() {
        for (seconds, text) in [(7, "7s"), (125, "2m05s"), (3725, "1h02m")] {
            assert_eq!(clock(seconds), text);
        }
    }
}
