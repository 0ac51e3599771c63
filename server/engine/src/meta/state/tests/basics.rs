use flymq_types::{Timestamp, TopicId, TopicName};

use super::*;
use crate::meta::{CreateTopic, DeleteTopic, Effect};
use crate::topic::TopicConfig;

fn id(n: u32) -> TopicId {
    TopicId::from_bytes((u128::from(n) + 1).to_be_bytes())
}

fn create(n: u32, name: &str) -> Command {
    Command::CreateTopic(CreateTopic {
        id: id(n),
        name: TopicName::new(name).unwrap(),
        partitions: 2,
        config: TopicConfig::default(),
        created: Timestamp(5),
        restoring: None,
    })
}

fn delete(n: u32, name: &str) -> Command {
    Command::DeleteTopic(DeleteTopic { id: id(n), name: TopicName::new(name).unwrap() })
}

#[test]
fn applying_gives_reply_effect_and_version() {
    let mut state = State::default();
    let (reply, effects) = state.apply(&create(1, "a"));
    let Ok(Reply::TopicCreated(topic)) = reply else { panic!("{reply:?}") };
    assert_eq!(topic.partitions.len(), 2);
    assert_eq!(effects, [Effect::OpenTopic(topic)]);
    assert_eq!(state.image().version, MetaVersion(1));
    let (reply, effects) = state.apply(&create(2, "a"));
    assert!(matches!(reply, Err(Rejection::TopicExists { .. })) && effects.is_empty());
    assert_eq!(state.image().version, MetaVersion(1));
}

#[test]
fn the_same_commands_give_the_same_state() {
    let commands = [create(1, "a"), create(2, "b"), delete(1, "a"), create(3, "a")];
    let (mut one, mut two) = (State::default(), State::default());
    for command in &commands {
        one.apply(command).0.unwrap();
    }
    two.apply(&commands[0]).0.unwrap();
    let mut two = State::from_image(MetaImage::clone(&two.image()));
    for command in &commands[1..] {
        two.apply(command).0.unwrap();
    }
    assert_eq!(one.image(), two.image());
    assert_eq!(one.image().topics["a"].id, id(3));
}

#[test]
fn tombstones_are_bounded() {
    let mut state = State::default();
    for n in 0..u32::try_from(MAX_TOMBSTONES).unwrap() / 500 + 1 {
        let first = n * 500;
        let commands: Vec<_> = (first..first + 500).flat_map(|n| [create(n, "a"), delete(n, "a")]).collect();
        state.apply_all(&commands).unwrap();
    }
    let image = state.image();
    assert_eq!(image.deleted.len(), MAX_TOMBSTONES);
}
