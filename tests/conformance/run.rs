//! Runs one case at one surface.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::{
    case::{Case, Step, Want, fill, has},
    seed::{numbered, restore, seed},
    surface::{Failure, Surface},
};

/// How a case went at a surface.
#[derive(Debug, Clone)]
pub enum Outcome {
    Passed,
    Skipped(String),
    Failed(String),
}

/// Runs the steps until one does not hold.
pub async fn case(case: &Case, surface_name: &str, native: &str, surface: &mut dyn Surface) -> Outcome {
    if let Some(why) = case.skip.get(surface_name) {
        return Outcome::Skipped(why.clone());
    }
    let mut names = fresh_names();
    for (number, step) in case.steps.iter().enumerate() {
        match self::step(step, surface_name, native, surface, &mut names).await {
            Ok(()) => {}
            Err(Stop::Unsupported(why)) => return Outcome::Skipped(why),
            Err(Stop::Wrong(why)) => {
                return Outcome::Failed(format!("step {} ({}): {why}", number + 1, step.op));
            }
        }
    }
    Outcome::Passed
}

/// Names that no other run has.
fn fresh_names() -> BTreeMap<String, Value> {
    let id = uuid::Uuid::new_v4().simple().to_string();
    let names = [("t", "topic"), ("t2", "topic2"), ("g", "group"), ("g2", "group2")];
    names.into_iter().map(|(name, word)| (name.to_owned(), json!(format!("{word}-{}", &id[..12])))).collect()
}

enum Stop {
    Unsupported(String),
    Wrong(String),
}

async fn step(
    step: &Step,
    surface_name: &str,
    native: &str,
    surface: &mut dyn Surface,
    names: &mut BTreeMap<String, Value>,
) -> Result<(), Stop> {
    let args = fill(&step.args, names);
    let want = step.on.get(surface_name).unwrap_or(&step.want);
    let answer = match step.op.as_str() {
        "seed" => seed(native, &args).await,
        "restore" => restore(native, &args).await,
        "batch" => numbered(&args),
        op => surface.run(op, &args).await,
    };
    let reply = match answer {
        Err(Failure::Unsupported(why)) => return Err(Stop::Unsupported(why)),
        Ok(reply) => Ok(reply),
        Err(Failure::Error { code, message }) => Err((code, message)),
    };
    check(want, &reply, names).map_err(Stop::Wrong)?;
    let Ok(reply) = reply else { return Ok(()) };
    for (name, field) in &step.save {
        names.insert(name.clone(), pick(&reply, field).clone());
    }
    Ok(())
}

type Reply = Result<Value, (Option<String>, String)>;

fn check(want: &Want, reply: &Reply, names: &BTreeMap<String, Value>) -> Result<(), String> {
    match (reply, &want.error) {
        (Ok(reply), None) => {
            want.expect.as_ref().map_or(Ok(()), |expect| has(reply, &fill(expect, names), "reply"))
        }
        (Ok(reply), Some(code)) => Err(format!("answered {reply}, want the error {code}")),
        (Err((code, message)), None) => {
            Err(format!("error {}: {message}", code.as_deref().unwrap_or("without code")))
        }
        (Err((Some(code), message)), Some(want)) if code != want => {
            Err(format!("error {code} ({message}), want {want}"))
        }
        (Err((Some(_), _)), Some(_)) => Ok(()),
        (Err((None, message)), Some(_)) => match &want.v1_error {
            Some(text) if message.contains(text) => Ok(()),
            Some(text) => Err(format!("error text {message:?} does not contain {text:?}")),
            None => Err(format!("the case does not say what text version 1 gives; it gave {message:?}")),
        },
    }
}

fn pick<'a>(reply: &'a Value, path: &str) -> &'a Value {
    path.split('.').fold(reply, |value, key| match key.parse::<usize>() {
        Ok(index) => &value[index],
        Err(_) => &value[key],
    })
}
