//! Comments of the proto files, by full name.

use std::{collections::HashMap, sync::OnceLock};

use prost_reflect::prost_types::{
    DescriptorProto, EnumDescriptorProto, FileDescriptorProto, source_code_info::Location,
};

/// Field numbers of `FileDescriptorProto` and its kind that source paths are made of.
mod number {
    pub const FILE_MESSAGE: i32 = 4;
    pub const FILE_ENUM: i32 = 5;
    pub const FILE_SERVICE: i32 = 6;
    pub const MESSAGE_FIELD: i32 = 2;
    pub const MESSAGE_NESTED: i32 = 3;
    pub const MESSAGE_ENUM: i32 = 4;
    pub const ENUM_VALUE: i32 = 2;
    pub const SERVICE_METHOD: i32 = 2;
}

/// The comment above `full_name` (`flymq.v1.Record.offset`), in one line.
pub(crate) fn of(full_name: &str) -> Option<&'static str> {
    static COMMENTS: OnceLock<HashMap<String, String>> = OnceLock::new();
    let comments = COMMENTS.get_or_init(|| {
        let mut found = HashMap::new();
        for file in flymq_proto::descriptor_pool().files() {
            Walk::new(file.file_descriptor_proto()).file(&mut found);
        }
        found
    });
    comments.get(full_name).map(String::as_str)
}

struct Walk<'f> {
    file: &'f FileDescriptorProto,
    by_path: HashMap<&'f [i32], &'f Location>,
}

impl<'f> Walk<'f> {
    fn new(file: &'f FileDescriptorProto) -> Self {
        let locations = file.source_code_info.iter().flat_map(|info| &info.location);
        Self { file, by_path: locations.map(|l| (l.path.as_slice(), l)).collect() }
    }

    fn file(&self, found: &mut HashMap<String, String>) {
        let package = self.file.package();
        for (i, message) in index(&self.file.message_type) {
            self.message(message, &[number::FILE_MESSAGE, i], package, found);
        }
        for (i, one) in index(&self.file.enum_type) {
            self.enumeration(one, &[number::FILE_ENUM, i], package, found);
        }
        for (i, service) in index(&self.file.service) {
            let path = [number::FILE_SERVICE, i];
            let name = format!("{package}.{}", service.name());
            for (j, method) in index(&service.method) {
                let path = [path[0], path[1], number::SERVICE_METHOD, j];
                self.note(&path, format!("{name}.{}", method.name()), found);
            }
            self.note(&path, name, found);
        }
    }

    fn message(
        &self,
        message: &DescriptorProto,
        path: &[i32],
        scope: &str,
        found: &mut HashMap<String, String>,
    ) {
        let name = format!("{scope}.{}", message.name());
        for (i, field) in index(&message.field) {
            self.note(&join(path, number::MESSAGE_FIELD, i), format!("{name}.{}", field.name()), found);
        }
        for (i, nested) in index(&message.nested_type) {
            self.message(nested, &join(path, number::MESSAGE_NESTED, i), &name, found);
        }
        for (i, one) in index(&message.enum_type) {
            self.enumeration(one, &join(path, number::MESSAGE_ENUM, i), &name, found);
        }
        self.note(path, name, found);
    }

    /// A value's name has the scope of its enum; here it is filed below the enum, where it is unambiguous.
    fn enumeration(
        &self,
        one: &EnumDescriptorProto,
        path: &[i32],
        scope: &str,
        found: &mut HashMap<String, String>,
    ) {
        let name = format!("{scope}.{}", one.name());
        for (i, value) in index(&one.value) {
            self.note(&join(path, number::ENUM_VALUE, i), format!("{name}.{}", value.name()), found);
        }
        self.note(path, name, found);
    }

    fn note(&self, path: &[i32], name: String, found: &mut HashMap<String, String>) {
        let comment = self.by_path.get(path).map(|l| l.leading_comments()).unwrap_or_default();
        let line = comment.split_whitespace().collect::<Vec<_>>().join(" ");
        if !line.is_empty() {
            found.insert(name, line);
        }
    }
}

fn index<T>(items: &[T]) -> impl Iterator<Item = (i32, &T)> {
    (0..).zip(items)
}

fn join(path: &[i32], number: i32, index: i32) -> Vec<i32> {
    [path, &[number, index]].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_of_services_rpcs_fields_and_values_are_found() {
        assert_eq!(of("flymq.v1.BrokerService"), Some("Records in and out."));
        assert_eq!(of("flymq.v1.TopicService.CreateTopic"), Some("Creates a topic."));
        assert_eq!(of("flymq.v1.FetchRequest.max_records"), Some("0: 500."));
        assert!(of("flymq.v1.Acks.ACKS_ALL").is_some_and(|c| c.contains("in-sync")));
        assert_eq!(of("flymq.v1.Nothing"), None);
    }

    #[test]
    fn every_rpc_says_what_it_does() {
        for rpc in flymq_proto::rpcs() {
            assert!(of(rpc.method.full_name()).is_some(), "{} has no comment", rpc.name);
        }
    }
}
