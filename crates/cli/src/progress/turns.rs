use std::collections::{HashMap, VecDeque};

use dfbuild::StepId;

/// Lets one step after the other speak: steps run side by side, and a reader of a log wants what
/// belongs together in one place. What a step says before its turn is kept.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// Those that have not ended; the first one speaks.
    queue: VecDeque<StepId>,
    kept: HashMap<StepId, Kept>,
    /// What belongs to no step, until the step that speaks has ended.
    asides: String,
}

#[derive(Debug, Default)]
struct Kept {
    text: String,
    ended: bool,
}

impl Turns {
    /// Puts a step at the end of the queue, unless it is in it.
    pub(super) fn expect(&mut self, step: StepId) {
        if !self.queue.contains(&step) {
            self.queue.push_back(step);
        }
    }

    /// Takes what a step says, and returns what can be shown now.
    pub(super) fn say(&mut self, step: StepId, text: String) -> String {
        if self.queue.front() == Some(&step) {
            return text;
        }
        self.kept.entry(step).or_default().text.push_str(&text);
        String::new()
    }

    /// Takes what belongs to no step, and returns what can be shown now.
    pub(super) fn aside(&mut self, text: String) -> String {
        if self.queue.is_empty() {
            return text;
        }
        self.asides.push_str(&text);
        String::new()
    }

    /// Takes the last that a step says, and returns what can be shown now: with it, what those said
    /// whose turn comes.
    pub(super) fn end(&mut self, step: StepId, text: String) -> String {
        let mut shown = self.say(step, text);
        if self.queue.front() != Some(&step) {
            self.kept.entry(step).or_default().ended = true;
            return shown;
        }
        self.queue.pop_front();
        shown.push_str(&std::mem::take(&mut self.asides));
        while let Some(next) = self.queue.front() {
            let Some(kept) = self.kept.remove(next) else { break };
            shown.push_str(&kept.text);
            if !kept.ended {
                break;
            }
            self.queue.pop_front();
        }
        shown
    }

    /// All that is kept, when there will be no more turns.
    pub(super) fn rest(&mut self) -> String {
        let queue = std::mem::take(&mut self.queue);
        let rest = queue.iter().filter_map(|step| self.kept.remove(step));
        rest.map(|kept| kept.text).chain([std::mem::take(&mut self.asides)]).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_after_the_other() {
        let [a, b, c] = [0, 1, 2].map(StepId);
        let mut turns = Turns::default();
        for step in [a, b, c, a] {
            turns.expect(step);
        }
        assert_eq!(turns.say(b, "b1 ".into()), "");
        assert_eq!(turns.say(a, "a1 ".into()), "a1 ");
        assert_eq!(turns.end(b, "b2 ".into()), "");
        assert_eq!(turns.aside("aside ".into()), "");
        assert_eq!(turns.say(c, "c1 ".into()), "");
        assert_eq!(turns.end(a, "a2 ".into()), "a2 aside b1 b2 c1 ");
        assert_eq!(turns.say(c, "c2 ".into()), "c2 ");
        turns.expect(a);
        assert_eq!(turns.say(a, "again ".into()), "");
        assert_eq!(turns.aside("more ".into()), "");
        assert_eq!(turns.rest(), "again more ");
        assert_eq!(turns.aside("nobody speaks".into()), "nobody speaks");
        assert_eq!(turns.end(c, "gone".into()), "");
    }
}
