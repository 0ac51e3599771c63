//! The border to Java: failures and panics become exceptions, waits end when the Java thread is interrupted.

use std::{any::Any, pin::pin, time::Duration};

use flymq_client::{ClientError, ErrorCode};
use jni::{
    Env, EnvUnowned, JValue,
    errors::ErrorPolicy,
    jni_sig, jni_str,
    objects::{JByteArray, JObject, JThrowable},
};
use serde_json::json;

/// How long an interrupt may stay unnoticed.
const SLICE: Duration = Duration::from_millis(20);

/// Why a native method ends with an exception.
#[derive(Debug)]
pub(crate) enum Failure {
    Client(ClientError),
    Jni(jni::errors::Error),
    /// The handle of this kind of object is closed.
    Closed(&'static str),
    /// The calling thread was interrupted.
    Interrupted,
}

impl From<ClientError> for Failure {
    fn from(error: ClientError) -> Self {
        Self::Client(error)
    }
}

impl From<jni::errors::Error> for Failure {
    fn from(error: jni::errors::Error) -> Self {
        Self::Jni(error)
    }
}

/// Runs a native method's body; a failure or a panic is thrown, and the method returns its type's zero.
pub(crate) fn enter<'local, T: Default>(
    mut env: EnvUnowned<'local>,
    body: impl FnOnce(&mut Env<'local>) -> Result<T, Failure>,
) -> T {
    env.with_env(body).resolve::<Throw>()
}

/// Waits for `future` in the calling thread, in slices: between them it looks whether the thread was interrupted.
pub(crate) fn wait<T>(env: &mut Env<'_>, future: impl Future<Output = T>) -> Result<T, Failure> {
    let runtime = flymq_client::runtime();
    let mut future = pin!(future);
    loop {
        let slice = async { tokio::time::timeout(SLICE, future.as_mut()).await };
        if let Ok(output) = runtime.block_on(slice) {
            return Ok(output);
        }
        if is_interrupted(env)? {
            return Err(Failure::Interrupted);
        }
    }
}

/// As [`wait`], for a future that may fail.
pub(crate) fn wait_ok<T>(
    env: &mut Env<'_>,
    future: impl Future<Output = Result<T, ClientError>>,
) -> Result<T, Failure> {
    Ok(wait(env, future)??)
}

fn is_interrupted(env: &mut Env<'_>) -> Result<bool, Failure> {
    // In its own frame: a wait may take hours, and references of this method live until it returns.
    env.with_local_frame(4, |env| {
        let class = env.find_class(jni_str!("com/firefly/flymq/internal/Native"))?;
        let interrupted =
            env.call_static_method(class, jni_str!("isInterrupted"), jni_sig!("()Z"), &[])?.z()?;
        Ok::<_, Failure>(interrupted)
    })
}

/// The bytes of an array that Java gave.
pub(crate) fn bytes(env: &Env<'_>, array: &JByteArray<'_>) -> Result<Vec<u8>, Failure> {
    Ok(env.convert_byte_array(array)?)
}

/// Text that Java gave as UTF-8.
pub(crate) fn text(env: &Env<'_>, array: &JByteArray<'_>) -> Result<String, Failure> {
    String::from_utf8(bytes(env, array)?)
        .map_err(|_| ClientError::invalid("the text is not valid UTF-8").into())
}

/// A number that must not be negative.
pub(crate) fn unsigned(name: &str, value: i64) -> Result<u64, Failure> {
    u64::try_from(value).map_err(|_| {
        ClientError::invalid(format!("{name} is {value}: it must not be negative")).with("field", name).into()
    })
}

/// An error as JSON, as `Native.failure` reads it.
pub(crate) fn describe(error: &ClientError) -> Vec<u8> {
    let document = json!({
        "code": error.code_name(),
        "message": error.message,
        "hint": error.hint,
        "doc_url": error.doc_url,
        "retryable": error.retryable,
        "side_effects": error.side_effects,
        "metadata": error.metadata,
        "request_id": error.request_id,
    });
    document.to_string().into_bytes()
}

/// Throws every failure and every panic as the exception that `Native.failure` makes of it.
struct Throw;

impl<T: Default> ErrorPolicy<T, Failure> for Throw {
    type Captures<'unowned_env_local: 'native_method, 'native_method> = ();

    fn on_error<'unowned_env_local: 'native_method, 'native_method>(
        env: &mut Env<'unowned_env_local>,
        _captures: &mut (),
        failure: Failure,
    ) -> jni::errors::Result<T> {
        let document = match failure {
            Failure::Client(error) => describe(&error),
            Failure::Closed(kind) => describe(&ClientError::closed(kind)),
            Failure::Interrupted => br#"{"code":"INTERRUPTED"}"#.to_vec(),
            Failure::Jni(error) => {
                if env.exception_check() {
                    return Ok(T::default());
                }
                describe(&ClientError::new(ErrorCode::Internal, format!("at the border to Java: {error}")))
            }
        };
        throw(env, &document);
        Ok(T::default())
    }

    fn on_panic<'unowned_env_local: 'native_method, 'native_method>(
        env: &mut Env<'unowned_env_local>,
        _captures: &mut (),
        payload: Box<dyn Any + Send + 'static>,
    ) -> jni::errors::Result<T> {
        let told = payload.downcast_ref::<&str>().map(|s| (*s).to_owned());
        let told = told.or_else(|| payload.downcast_ref::<String>().cloned()).unwrap_or_default();
        let error = ClientError::new(ErrorCode::Internal, format!("the native library failed: {told}"));
        throw(env, &describe(&error));
        Ok(T::default())
    }
}

/// Leaves an exception pending; one that arises meanwhile (no memory, say) stays instead.
fn throw(env: &mut Env<'_>, document: &[u8]) {
    let thrown = (|| -> jni::errors::Result<()> {
        let document = JObject::from(env.byte_array_from_slice(document)?);
        let class = env.find_class(jni_str!("com/firefly/flymq/internal/Native"))?;
        let signature = jni_sig!("([B)Ljava/lang/RuntimeException;");
        let failure = env
            .call_static_method(class, jni_str!("failure"), signature, &[JValue::Object(&document)])?
            .l()?;
        let failure = env.cast_local::<JThrowable>(failure)?;
        env.throw(failure)
    })();
    // After a throw the answer is always an error: the exception that is now pending.
    drop(thrown);
}
