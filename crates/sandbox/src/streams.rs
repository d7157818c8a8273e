use std::os::fd::OwnedFd;

/// What a command reads and writes, instead of nothing and two pipes.
#[derive(Debug)]
pub struct Streams {
    /// Standard input.
    pub input: OwnedFd,
    /// Standard output.
    pub output: OwnedFd,
    /// Standard error.
    pub error: OwnedFd,
    /// Whether standard input is a terminal that the command is to control: it hears of Ctrl-C
    /// there. Nobody else may control it.
    pub controls_terminal: bool,
}
