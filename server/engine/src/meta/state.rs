//! The state machine: pure, so that the same commands give the same state on every node and at every restart.

use std::sync::Arc;

use super::{Command, Effects, MetaImage, MetaVersion, Rejection, Reply};

/// How many deleted topics are remembered.
pub const MAX_TOMBSTONES: usize = 10_000;

/// The metadata with the right to change it.
#[derive(Debug, Clone, Default)]
pub struct State {
    image: Arc<MetaImage>,
}

impl State {
    /// Goes on from a snapshot.
    pub fn from_image(image: MetaImage) -> Self {
        Self { image: Arc::new(image) }
    }

    /// The state now; later changes do not touch it.
    pub fn image(&self) -> Arc<MetaImage> {
        self.image.clone()
    }

    /// Applies one command as a proposal of its own. No clock, no randomness, no IO.
    pub fn apply(&mut self, command: &Command) -> (Result<Reply, Rejection>, Effects) {
        match self.apply_all(std::slice::from_ref(command)) {
            Ok((mut replies, effects)) => (Ok(replies.pop().expect("one command has one reply")), effects),
            Err(rejection) => (Err(rejection), Effects::new()),
        }
    }

    /// Applies a proposal: all commands, or none where one is rejected. The version rises by one.
    pub fn apply_all(&mut self, commands: &[Command]) -> Result<(Vec<Reply>, Effects), Rejection> {
        let mut next = MetaImage::clone(&self.image);
        let mut replies = Vec::with_capacity(commands.len());
        let mut effects = Effects::new();
        for command in commands {
            let (reply, more) = command.apply(&mut next)?;
            replies.push(reply);
            effects.extend(more);
        }
        next.version = MetaVersion(self.image.version.0 + 1);
        self.image = Arc::new(next);
        Ok((replies, effects))
    }
}

#[cfg(test)]
mod tests;
