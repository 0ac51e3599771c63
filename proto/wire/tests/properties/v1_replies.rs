use std::fmt::Debug;

use bytes::Bytes;
use flymq_wire::v1::*;
use proptest::collection::vec;
use proptest::prelude::*;

use super::memory::bounded;
use super::plausible_bytes;

fn encode<T: Layout>(value: &T) -> Bytes {
    let mut writer = Writer::default();
    writer.put(value);
    writer.into_payload().unwrap()
}

fn check<T: Layout + PartialEq + Debug>(body: &Bytes) {
    let decoded: Result<T, _> = bounded(body.len(), || Reader::new(body.clone()).get());
    if let Ok(value) = decoded {
        let encoded = encode(&value);
        assert!(encoded.len() <= body.len(), "nothing is made up");
        assert!(encoded.len() >= T::MIN_LEN, "MIN_LEN holds");
        assert_eq!(Reader::new(encoded).get().as_ref(), Ok(&value));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn what_decodes_round_trips(bytes in plausible_bytes()) {
        let body = Bytes::from(bytes);
        check::<Done>(&body);
        check::<SuccessMsg>(&body);
        check::<WideSuccessMsg>(&body);
        check::<RecordMetadata>(&body);
        check::<ConsumeReply>(&body);
        check::<FetchReply>(&body);
        check::<TopicList>(&body);
        check::<OffsetReply>(&body);
        check::<LagReply>(&body);
        check::<GroupList>(&body);
        check::<Group>(&body);
        check::<JavaGroup>(&body);
        check::<UserInfo>(&body);
        check::<UserList>(&body);
        check::<RoleList>(&body);
        check::<AclDone>(&body);
        check::<AclInfo>(&body);
        check::<AclList>(&body);
        check::<SchemaRegistered>(&body);
        check::<SchemaInfo>(&body);
        check::<SchemaList>(&body);
        check::<ValidateReply>(&body);
        check::<DlqList>(&body);
        check::<TxnReply>(&body);
        check::<ClusterInfo>(&body);
        check::<AuditPage>(&body);
        check::<AuditData>(&body);
        check::<JavaAuditPage>(&body);
        check::<Raw>(&body);
    }

    #[test]
    fn any_error_body_has_a_text(bytes in plausible_bytes()) {
        let error = ErrorReply::read(&Bytes::from(bytes));
        let sent = error.clone().into_frame().into_bytes();
        prop_assert_eq!(ErrorReply::read(&sent.slice(8..)).text, error.text);
    }
}

proptest! {
    #[test]
    fn the_login_reply_suits_readers_of_both_kinds(
        user in ".{0,20}",
        roles in vec("[a-z]{1,20}", 0..5),
        error in ".{0,40}",
        ok in any::<bool>(),
    ) {
        let reply = if ok {
            LoginReply { ok, user, roles, error: String::new() }
        } else {
            LoginReply { ok, user, roles: Vec::new(), error }
        };
        let body = encode(&reply);
        prop_assert_eq!(Reader::new(body.clone()).get(), Ok(reply.clone()));
        if ok {
            let mut java = Reader::new(body);
            prop_assert_eq!(java.get(), Ok(true));
            prop_assert_eq!(java.get(), Ok(reply.user));
            let mut seen: Vec<String> = java.get().unwrap();
            seen.retain(|role| !role.is_empty());
            prop_assert_eq!(seen, reply.roles);
            prop_assert_eq!(java.get(), Ok(Vec::<String>::new()));
            prop_assert_eq!(java.remaining(), 0);
        }
    }

    #[test]
    fn fetch_replies_have_the_length_that_was_planned(
        messages in vec((any::<u64>(), vec(any::<u8>(), 0..20), vec(any::<u8>(), 0..50)), 0..10),
        next_offset in any::<u64>(),
    ) {
        let message = |(offset, key, value)| Message { offset, key: Bytes::from(key), value: Bytes::from(value) };
        let reply = FetchReply { next_offset, messages: messages.into_iter().map(message).collect() };
        let body = encode(&reply);
        let planned = FetchReply::FIXED_LEN + reply.messages.iter().map(Message::wire_len).sum::<usize>();
        prop_assert_eq!(body.len(), planned);
        prop_assert_eq!(Reader::new(body).get(), Ok(reply));
    }
}
