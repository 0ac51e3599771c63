//! Rows of the command line: each documented command is run as it is printed.

use std::{
    path::PathBuf,
    process::{Command, Output, Stdio},
    time::{Duration, Instant},
};

use crate::{Found, broker::Broker, table::Row};

/// A command that streams is given this long to show its first line.
const LIMIT: Duration = Duration::from_secs(20);

pub fn check(row: &Row, broker: &Broker) -> Found {
    let words = match words(&row.symbol) {
        Ok(words) => words,
        Err(why) => return Found::Broken(why),
    };
    prepare(broker);
    match run(&words, broker) {
        // Without a terminal and without credentials it has to exit with usage.
        Ok(output) if words == ["auth"] && output.status.code() == Some(2) => Found::Works,
        Ok(output) => verdict(&output),
        Err(why) => Found::Broken(why),
    }
}

fn verdict(output: &Output) -> Found {
    let stderr = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => Found::Works,
        _ if stderr.contains("UNIMPLEMENTED") || stderr.contains("unrecognized subcommand") => {
            Found::NotBuilt
        }
        code => Found::Broken(format!("exit {code:?}: {}", stderr.trim())),
    }
}

/// What the documented commands find in place: their topics with a message, a group with a commit.
fn prepare(broker: &Broker) {
    for command in [
        "produce my-topic hello",
        "produce orders seed --key user-123",
        "subscribe my-topic --from earliest --group readers -n 1",
        r#"produce my-topic.dlq {"id":"1","original_topic":"my-topic","payload":"AQI="}"#,
    ] {
        let command: Vec<String> = command.split(' ').map(str::to_owned).collect();
        // A failure here shows in the row itself.
        let _ = run(&command, broker);
    }
}

/// The documented line as arguments: quotes as a shell reads them, options in brackets left out, `<names>` filled in.
fn words(symbol: &str) -> Result<Vec<String>, String> {
    let line = symbol.strip_prefix("flymq-cli").ok_or("not a flymq-cli command")?;
    let required = line.split('[').next().unwrap_or_default();
    let mut words = shell(required);
    if words.first().is_some_and(|w| w == "users/roles/acl") {
        words = vec!["users".to_owned(), "--help".to_owned()];
    }
    for word in &mut words {
        *word = match word.as_str() {
            "<topic>" => "my-topic".to_owned(),
            "<group>" => "readers".to_owned(),
            "<message>" | "<message1>" => "hello".to_owned(),
            "<delay-ms>" | "<ttl-ms>" => "60000".to_owned(),
            "<message-id>" => "1".to_owned(),
            "<name>" | "<schema-name>" => "user-schema".to_owned(),
            "<type>" => "json".to_owned(),
            "<schema>" => r#"{"type":"object"}"#.to_owned(),
            _ => continue,
        };
    }
    words.retain(|word| word != "...");
    match words.first().map(String::as_str) {
        // A topic of its own: others were created by earlier rows.
        Some("create" | "delete") => words[1] = format!("{}-{}", words[1], words[0]),
        // What matches the schema of the row that registers it.
        Some("schema") if words[1] == "produce" => {
            words.pop();
            words.push(r#"{"name":"Ada"}"#.to_owned());
        }
        // It reads until Ctrl-C: one message is enough.
        Some("subscribe") => {
            words.extend(["-n", "1"].map(str::to_owned));
            if !words.contains(&"--from".to_owned()) {
                words.extend(["--from", "earliest"].map(str::to_owned));
            }
        }
        _ => {}
    }
    Ok(words)
}

fn shell(line: &str) -> Vec<String> {
    let (mut words, mut word, mut quote, mut any) = (Vec::new(), String::new(), None, false);
    for c in line.chars() {
        match (c, quote) {
            ('"' | '\'', None) => (quote, any) = (Some(c), true),
            (c, Some(q)) if c == q => quote = None,
            (c, None) if c.is_whitespace() => {
                if any || !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                any = false;
            }
            (c, _) => word.push(c),
        }
    }
    if any || !word.is_empty() {
        words.push(word);
    }
    words
}

fn run(words: &[String], broker: &Broker) -> Result<Output, String> {
    if words.first().is_some_and(|w| w == "delete") {
        let create = ["create".to_owned(), words[1].clone()];
        run(&create, broker)?;
    }
    let scratch = tempfile::tempdir().map_err(|e| e.to_string())?;
    let mut child = Command::new(binary("flymq-cli"))
        .args(words)
        .args(["-o", "json"].iter().filter(|_| !words.iter().any(|w| w == "--output" || w == "--help")))
        .env("FLYMQ_ADDR", broker.native().to_string())
        // The steps of a transaction are rows of their own, one behind the other.
        .env(
            "FLYMQ_STATE_FILE",
            std::env::temp_dir().join(format!("flymq-checklist-{}.json", std::process::id())),
        )
        .current_dir(scratch.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| format!("flymq-cli does not start: {e} (build the workspace first)"))?;
    let end = Instant::now() + LIMIT;
    while child.try_wait().map_err(|e| e.to_string())?.is_none() {
        if Instant::now() > end {
            // Our own child, which we started above.
            let _ = child.kill();
            return Err("it did not end in time".to_owned());
        }
        std::thread::yield_now();
    }
    child.wait_with_output().map_err(|e| e.to_string())
}

/// A binary of this build, beside the test's own.
pub fn binary(name: &str) -> PathBuf {
    let mut path = std::env::current_exe().expect("the system knows the running program");
    path.pop();
    path.pop();
    path.join(name)
}
