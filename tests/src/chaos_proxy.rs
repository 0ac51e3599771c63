//! A TCP proxy that makes a bad network of a good one: chunks that come late, a direction that stalls, bytes that trickle,
//! connections that are cut with a RST.
//!
//! TCP repeats what is lost, so that programs never see loss itself but what it makes: pauses of one retransmission
//! timeout (200 ms and more on Linux) in front of everything that follows. A share of the chunks waits for that long here.

use std::{
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use rand::Rng as _;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
    task::{AbortHandle, JoinSet},
    time::sleep,
};

/// How long a lost segment is missed: Linux's least retransmission timeout.
const RETRANSMISSION: Duration = Duration::from_millis(200);
/// How long a connection stays open behind requests that came late, so that they are read.
const LINGER: Duration = Duration::from_secs(2);
/// Bytes that are passed on at once, at most.
const CHUNK: usize = 16 << 10;

/// What is done to each connection, in both directions.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Weather {
    /// Each chunk comes so much later, by chance up to twice that.
    pub delay: Duration,
    /// The share of chunks that are "lost": they, and what follows, come a retransmission timeout later.
    pub loss: f64,
    /// Bytes a second and direction; 0: as many as can be.
    pub rate: u32,
    /// Nothing that the target sends is passed on; what is sent to it is.
    pub stalled: bool,
}

/// One listener in front of one target.
#[derive(Debug)]
pub struct ChaosProxy {
    pub address: SocketAddr,
    weather: Arc<Mutex<Weather>>,
    connections: Arc<Mutex<Vec<Connection>>>,
    eaten: Arc<AtomicU64>,
    held: Arc<AtomicU64>,
    accepting: AbortHandle,
}

#[derive(Debug, Clone, Default)]
struct Connection {
    reset: Arc<Notify>,
    /// What its client sends is held back, and comes so much later.
    hold: Arc<Mutex<Option<Duration>>>,
    /// Ends its client's side.
    cut: Arc<Notify>,
}

impl ChaosProxy {
    /// Listens at `address` (port 0: any) in front of `target`.
    ///
    /// # Errors
    /// The address cannot be had.
    pub async fn start(address: SocketAddr, target: String) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let weather = Arc::new(Mutex::new(Weather::default()));
        let connections = Arc::new(Mutex::new(Vec::new()));
        let eaten = Arc::new(AtomicU64::new(0));
        let held = Arc::new(AtomicU64::new(0));
        let all =
            Passing { weather: Arc::clone(&weather), eaten: Arc::clone(&eaten), held: Arc::clone(&held) };
        let accepting = tokio::spawn(accept(listener, target, all, Arc::clone(&connections)));
        Ok(Self { address, weather, connections, eaten, held, accepting: accepting.abort_handle() })
    }

    /// From now on, also for connections that are open.
    pub fn set(&self, weather: Weather) {
        *self.weather.lock().expect("nobody panics") = weather;
    }

    /// Chunks from the target that were held back by a stall, and whose connection was cut before it ended.
    pub fn eaten(&self) -> u64 {
        self.eaten.load(Relaxed)
    }

    /// Bytes of requests that came late, after [`ChaosProxy::hold_requests`].
    pub fn held(&self) -> u64 {
        self.held.load(Relaxed)
    }

    /// What is sent over the connections that are open now is held back for a while, then their clients are cut off with a RST, and what
    /// was held back comes to the target `late` after that: as requests do that were long on their way, when their clients have gone on.
    pub async fn hold_requests(&self, gather: Duration, late: Duration) {
        let open = std::mem::take(&mut *self.connections.lock().expect("nobody panics"));
        open.iter().for_each(|connection| *connection.hold.lock().expect("nobody panics") = Some(late));
        sleep(gather).await;
        open.iter().for_each(|connection| connection.cut.notify_one());
    }

    /// Ends all open connections with a RST to both sides.
    pub fn reset(&self) {
        let open = std::mem::take(&mut *self.connections.lock().expect("nobody panics"));
        open.iter().for_each(|connection| connection.reset.notify_one());
    }
}

impl Drop for ChaosProxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// What all connections of a proxy share.
#[derive(Debug, Clone)]
struct Passing {
    weather: Arc<Mutex<Weather>>,
    eaten: Arc<AtomicU64>,
    held: Arc<AtomicU64>,
}

/// Counts a chunk that is held back, unless it is passed on after all.
struct Held<'a>(&'a AtomicU64);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

async fn accept(
    listener: TcpListener,
    target: String,
    all: Passing,
    connections: Arc<Mutex<Vec<Connection>>>,
) {
    let mut tasks = JoinSet::new();
    while let Ok((from, _)) = listener.accept().await {
        // Those that have ended.
        while tasks.try_join_next().is_some() {}
        let connection = Connection::default();
        connections.lock().expect("nobody panics").push(connection.clone());
        let (target, all) = (target.clone(), all.clone());
        tasks.spawn(async move {
            // The target is down: so is this connection.
            let Ok(to) = TcpStream::connect(&target).await else { return };
            pass(from, to, &all, &connection).await;
        });
    }
}

async fn pass(from: TcpStream, to: TcpStream, all: &Passing, connection: &Connection) {
    for stream in [&from, &to] {
        // Small packets are not held back by this program, too.
        let _ = stream.set_nodelay(true);
    }
    let ((from_read, from_write), (to_read, to_write)) = (from.into_split(), to.into_split());
    let there = requests(from_read, to_write, all, connection);
    let back = one_way(to_read, from_write, all);
    // The sockets go with the futures.
    let late = tokio::select! {
        late = there => late,
        () = back => None,
        () = connection.reset.notified() => None,
    };
    let Some(Late { mut to, bytes, by }) = late else { return };
    sleep(by).await;
    if to.write_all(&bytes).await.is_ok() {
        all.held.fetch_add(bytes.len() as u64, Relaxed);
        sleep(LINGER).await;
    }
}

/// Requests that come when their client has gone on.
struct Late {
    to: OwnedWriteHalf,
    bytes: Vec<u8>,
    by: Duration,
}

/// As [`one_way`], to the target; some when requests are held back and their client is cut off.
async fn requests(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    all: &Passing,
    connection: &Connection,
) -> Option<Late> {
    let _ = from.as_ref().set_zero_linger();
    let (mut chunk, mut bytes) = (vec![0; CHUNK], Vec::new());
    loop {
        let now = *all.weather.lock().expect("nobody panics");
        let read = tokio::select! {
            read = from.read(&mut chunk[..most(&now)]) => read.ok().filter(|read| *read > 0)?,
            () = connection.cut.notified() => {
                let by = connection.hold.lock().expect("nobody panics").take().unwrap_or_default();
                return Some(Late { to, bytes, by });
            }
        };
        late(&now, read).await;
        if connection.hold.lock().expect("nobody panics").is_some() {
            bytes.extend_from_slice(&chunk[..read]);
            continue;
        }
        to.write_all(&chunk[..read]).await.ok()?;
    }
}

fn most(weather: &Weather) -> usize {
    if weather.rate > 0 { CHUNK.min(weather.rate as usize / 20 + 1) } else { CHUNK }
}

/// Passes the target's bytes on until either side ends; the socket is closed with a RST then.
async fn one_way(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, Passing { weather, eaten, .. }: &Passing) {
    // Whatever ends it, the other side is not left to guess.
    let _ = from.as_ref().set_zero_linger();
    let mut chunk = vec![0; CHUNK];
    loop {
        let now = *weather.lock().expect("nobody panics");
        let Ok(read @ 1..) = from.read(&mut chunk[..most(&now)]).await else { return };
        late(&now, read).await;
        if weather.lock().expect("nobody panics").stalled {
            let held = Held(eaten);
            while weather.lock().expect("nobody panics").stalled {
                sleep(Duration::from_millis(10)).await;
            }
            std::mem::forget(held);
        }
        if to.write_all(&chunk[..read]).await.is_err() {
            return;
        }
    }
}

async fn late(weather: &Weather, bytes: usize) {
    let mut wait = Duration::ZERO;
    if !weather.delay.is_zero() {
        wait += weather.delay.mul_f64(1.0 + rand::rng().random::<f64>());
    }
    if weather.loss > 0.0 && rand::rng().random_bool(weather.loss) {
        wait += RETRANSMISSION;
    }
    if weather.rate > 0 {
        let bytes = u32::try_from(bytes).expect("a chunk is small");
        wait += Duration::from_secs_f64(f64::from(bytes) / f64::from(weather.rate));
    }
    if !wait.is_zero() {
        sleep(wait).await;
    }
}
