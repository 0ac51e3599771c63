//! The limit of the machine for a produce: loopback connections, crc32c on both sides, a write into a recycled file, an ack.
//! No topics, offsets, indexes or errors; what a broker loses against this loop is its own doing. With `--acks all` one thread
//! syncs the file for all writes that wait (group commit) before they are acked. Arguments and output: `tests/bench/README.md`.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, PoisonError, mpsc};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// The recycled file: written once before the clock starts, then over and over.
const FILE_MIB: usize = 512;
const BATCH_BYTES: usize = 256 << 10;
const POOL_BYTES: usize = 1 << 20;
/// Payload length and payload crc32c, both u32 little-endian.
const HEADER_BYTES: usize = 8;

struct Options {
    data_dir: PathBuf,
    messages: usize,
    warmup: usize,
    size: usize,
    producers: usize,
    in_flight: usize,
    batch: bool,
    synced: bool,
    /// No network and no threads: write, sync, again.
    direct: bool,
    file_bytes: u64,
    /// Unix time before which the clock does not start: several of these begin together.
    start_at: f64,
}

impl Options {
    fn parse() -> Result<Self, String> {
        let mut given: HashMap<String, String> = HashMap::new();
        let (mut batch, mut direct) = (true, false);
        let mut words = std::env::args().skip(1);
        while let Some(word) = words.next() {
            match word.strip_prefix("--") {
                Some("no-batch") => batch = false,
                Some("direct") => direct = true,
                Some(name) => {
                    given.insert(name.to_owned(), words.next().ok_or(format!("{word} needs a value"))?);
                }
                None if word == "produce" => {}
                None => return Err(format!("unexpected argument {word}")),
            }
        }
        let number = |name: &str, otherwise: usize| {
            given
                .get(name)
                .map_or(Ok(otherwise), |text| text.parse().map_err(|e| format!("--{name} {text}: {e}")))
        };
        Ok(Self {
            data_dir: given.get("data-dir").map_or_else(std::env::temp_dir, PathBuf::from),
            messages: number("messages", 100_000)?,
            warmup: number("warmup", 0)?,
            size: number("size", 1024)?.clamp(16, BATCH_BYTES),
            producers: number("producers", 1)?.max(1),
            in_flight: number("in-flight", 4000)?.max(1),
            batch,
            direct,
            file_bytes: (number("file-mib", FILE_MIB)?.max(1) as u64) << 20,
            start_at: given
                .get("start-at")
                .map_or(Ok(0.0), |text| text.parse().map_err(|e| format!("--start-at {text}: {e}")))?,
            synced: given.get("acks").is_some_and(|acks| acks == "all"),
        })
    }

    /// Batches that a producer may have unacked.
    fn window(&self) -> usize {
        (self.in_flight / self.messages_per_batch()).max(1)
    }

    fn wait_for_start(&self) {
        let start = UNIX_EPOCH + Duration::from_secs_f64(self.start_at.max(0.0));
        if let Ok(left) = start.duration_since(SystemTime::now()) {
            thread::sleep(left);
        }
    }

    fn messages_per_batch(&self) -> usize {
        if self.batch && self.in_flight > 1 { (BATCH_BYTES / self.size).max(1) } else { 1 }
    }
}

/// The recycled file and, for synced acks, how far it is written and how far it is on the disk (both in batches).
struct Segment {
    file: File,
    bytes: u64,
    position: AtomicU64,
    progress: Mutex<(u64, u64)>,
    written: Condvar,
    synced: Condvar,
}

impl Segment {
    /// A file whose blocks are all allocated and written, without a name, so that nothing is left behind.
    fn recycled(options: &Options) -> io::Result<Arc<Self>> {
        let path = options.data_dir.join(format!("bare-loop-{}", std::process::id()));
        let file = File::options().create_new(true).read(true).write(true).open(&path)?;
        std::fs::remove_file(&path)?;
        let chunk = random(POOL_BYTES);
        for at in (0..options.file_bytes + BATCH_BYTES as u64).step_by(POOL_BYTES) {
            file.write_all_at(&chunk, at)?;
        }
        file.sync_all()?;
        Ok(Arc::new(Self {
            file,
            bytes: options.file_bytes,
            position: AtomicU64::new(0),
            progress: Mutex::default(),
            written: Condvar::default(),
            synced: Condvar::default(),
        }))
    }

    /// Writes one batch; the ticket is what `wait_synced` waits for.
    fn append(&self, payload: &[u8]) -> io::Result<u64> {
        let at = self.position.fetch_add(payload.len() as u64, Ordering::Relaxed) % self.bytes;
        self.file.write_all_at(payload, at)?;
        let mut progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        progress.0 += 1;
        self.written.notify_one();
        Ok(progress.0)
    }

    fn wait_synced(&self, ticket: u64) {
        let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
        drop(self.synced.wait_while(progress, |(_, synced)| *synced < ticket));
    }

    /// The sync thread: one fdatasync for all that was written while the one before ran. A failed sync ends the process.
    fn sync_forever(&self) {
        loop {
            let progress = self.progress.lock().unwrap_or_else(PoisonError::into_inner);
            let waited = self.written.wait_while(progress, |(written, synced)| written == synced);
            let (written, _) = *waited.unwrap_or_else(PoisonError::into_inner);
            if let Err(error) = self.file.sync_data() {
                eprintln!("bare-loop: fdatasync: {error}");
                std::process::exit(1);
            }
            self.progress.lock().unwrap_or_else(PoisonError::into_inner).1 = written;
            self.synced.notify_all();
        }
    }
}

/// When a connection acks a batch.
#[derive(Clone, Copy)]
enum Ack {
    Written,
    /// Before the next batch is read: the client waits anyway.
    Synced,
    /// By a thread of its own, so that the next batch is written while this one is synced.
    SyncedApart,
}

impl Ack {
    fn of(options: &Options) -> Self {
        match (options.synced, options.window()) {
            (false, _) => Self::Written,
            (true, 1) => Self::Synced,
            (true, _) => Self::SyncedApart,
        }
    }
}

/// Serves one connection until the client closes it: read, check, write, ack (in order).
fn serve(mut stream: TcpStream, segment: &Arc<Segment>, ack: Ack) -> io::Result<()> {
    stream.set_nodelay(true)?;
    let (tickets, acker) = ack_apart(stream.try_clone()?, Arc::clone(segment));
    let mut header = [0; HEADER_BYTES];
    let mut payload = vec![0; BATCH_BYTES];
    while stream.read_exact(&mut header).is_ok() {
        let [a, b, c, d, crc @ ..] = header;
        let batch = &mut payload[..u32::from_le_bytes([a, b, c, d]) as usize];
        stream.read_exact(batch)?;
        if crc32c::crc32c(batch) != u32::from_le_bytes(crc) {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "checksum"));
        }
        let ticket = segment.append(batch)?;
        match ack {
            Ack::Written => stream.write_all(&[1])?,
            Ack::Synced => {
                segment.wait_synced(ticket);
                stream.write_all(&[1])?;
            }
            Ack::SyncedApart => tickets.send(ticket).map_err(io::Error::other)?,
        }
    }
    drop(tickets);
    acker.join().unwrap_or_else(|_| Err(io::Error::other("ack thread")))
}

/// The thread that acks each ticket sent to it once it is synced; idle for the other kinds of ack.
fn ack_apart(
    mut stream: TcpStream,
    segment: Arc<Segment>,
) -> (mpsc::Sender<u64>, JoinHandle<io::Result<()>>) {
    let (sender, tickets) = mpsc::channel();
    let acker = thread::spawn(move || {
        for ticket in tickets {
            segment.wait_synced(ticket);
            stream.write_all(&[1])?;
        }
        Ok(())
    });
    (sender, acker)
}

/// The sending end of one producer.
struct Sender<'a> {
    out: BufWriter<TcpStream>,
    pool: &'a [u8],
    length: usize,
}

impl Sender<'_> {
    /// Sends batch `i` in one write: length, crc32c, and a cut of the random pool at a moving position.
    fn send(&mut self, i: usize) -> io::Result<()> {
        let at = (i * 8191) % POOL_BYTES;
        let payload = &self.pool[at..at + self.length];
        self.out.write_all(&(self.length as u32).to_le_bytes())?;
        self.out.write_all(&crc32c::crc32c(payload).to_le_bytes())?;
        self.out.write_all(payload)?;
        self.out.flush()
    }
}

/// One producer: sends its batches with a bounded window and returns the latency of each.
fn produce(address: SocketAddr, batches: usize, options: &Options, pool: &[u8]) -> io::Result<Vec<Duration>> {
    let stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let length = options.messages_per_batch() * options.size;
    let out = BufWriter::with_capacity(HEADER_BYTES + length, stream.try_clone()?);
    let mut sender = Sender { out, pool, length };
    match options.window() {
        1 => one_by_one(&mut sender, stream, batches),
        window => pipelined(&mut sender, stream, batches, window),
    }
}

fn one_by_one(sender: &mut Sender<'_>, mut acks: TcpStream, batches: usize) -> io::Result<Vec<Duration>> {
    let mut latencies = Vec::with_capacity(batches);
    for i in 0..batches {
        let sent = Instant::now();
        sender.send(i)?;
        acks.read_exact(&mut [0])?;
        latencies.push(sent.elapsed());
    }
    Ok(latencies)
}

fn pipelined(
    sender: &mut Sender<'_>,
    mut acks: TcpStream,
    batches: usize,
    window: usize,
) -> io::Result<Vec<Duration>> {
    let (sent, unacked) = mpsc::sync_channel::<Instant>(window);
    let reader = thread::spawn(move || {
        let mut latencies = Vec::with_capacity(batches);
        for sent in unacked {
            acks.read_exact(&mut [0])?;
            latencies.push(sent.elapsed());
        }
        Ok(latencies)
    });
    for i in 0..batches {
        if sent.send(Instant::now()).is_err() {
            break;
        }
        sender.send(i)?;
    }
    drop(sent);
    reader.join().unwrap_or_else(|_| Err(io::Error::other("ack reader")))
}

/// All producers at once, each with its own connection; returns the latencies and the wall time.
fn produce_all(
    address: SocketAddr,
    messages: usize,
    options: &Options,
) -> io::Result<(Vec<Duration>, Duration)> {
    let batches = messages.div_ceil(options.messages_per_batch());
    let pool = &random(POOL_BYTES + BATCH_BYTES);
    let start = Instant::now();
    let parts: Vec<io::Result<Vec<Duration>>> = thread::scope(|scope| {
        let share = |p: usize| batches / options.producers + usize::from(p < batches % options.producers);
        let running: Vec<_> = (0..options.producers)
            .map(|p| scope.spawn(move || produce(address, share(p), options, pool)))
            .collect();
        running
            .into_iter()
            .map(|thread| thread.join().unwrap_or_else(|_| Err(io::Error::other("producer"))))
            .collect()
    });
    let mut latencies = Vec::with_capacity(batches);
    for part in parts {
        latencies.extend(part?);
    }
    Ok((latencies, start.elapsed()))
}

/// Pseudo-random bytes (xorshift64), the same in every run.
fn random(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let words = std::iter::repeat_with(|| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state.to_le_bytes()
    });
    words.flatten().take(length).collect()
}

fn line(options: &Options, mut latencies: Vec<Duration>, took: Duration) -> String {
    latencies.sort_unstable();
    let micros = |quantile: f64| {
        let at = (quantile * latencies.len().saturating_sub(1) as f64) as usize;
        latencies.get(at).map_or(0.0, |latency| latency.as_secs_f64() * 1e6)
    };
    let messages = options.messages.div_ceil(options.messages_per_batch()) * options.messages_per_batch();
    let seconds = took.as_secs_f64();
    format!(
        concat!(
            r#"{{"peer":"bare-loop","work":"produce","messages":{},"bytes":{},"seconds":{:.6},"msgs_per_s":{:.1},"#,
            r#""p50_us":{:.3},"p99_us":{:.3},"p999_us":{:.3},"errors":0,"acks":"{}","version":"{}","#,
            r#""flags":{{"size":{},"producers":{},"messages_per_batch":{}}}}}"#
        ),
        messages,
        messages * options.size,
        seconds,
        messages as f64 / seconds,
        micros(0.5),
        micros(0.99),
        micros(0.999),
        if options.synced { "all" } else { "leader" },
        env!("CARGO_PKG_VERSION"),
        options.size,
        options.producers,
        options.messages_per_batch(),
    )
}

/// What the disk alone gives to one writer that syncs every message.
fn direct(options: &Options, segment: &Segment) -> io::Result<(Vec<Duration>, Duration)> {
    let pool = random(options.size);
    options.wait_for_start();
    let start = Instant::now();
    let mut latencies = Vec::with_capacity(options.messages);
    for _ in 0..options.messages {
        let began = Instant::now();
        segment.append(&pool)?;
        segment.file.sync_data()?;
        latencies.push(began.elapsed());
    }
    Ok((latencies, start.elapsed()))
}

fn run() -> Result<String, Box<dyn std::error::Error>> {
    let options = Options::parse()?;
    let segment = Segment::recycled(&options)?;
    if options.direct {
        let (latencies, took) = direct(&options, &segment)?;
        return Ok(line(&options, latencies, took));
    }
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    if options.synced {
        let segment = Arc::clone(&segment);
        thread::spawn(move || segment.sync_forever());
    }
    let ack = Ack::of(&options);
    thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let segment = Arc::clone(&segment);
            thread::spawn(move || {
                if let Err(error) = serve(stream, &segment, ack) {
                    eprintln!("bare-loop: {error}");
                }
            });
        }
    });
    produce_all(address, options.warmup, &options)?;
    let (latencies, took) = produce_all(address, options.messages, &options)?;
    Ok(line(&options, latencies, took))
}

fn main() -> std::process::ExitCode {
    match run() {
        Ok(line) => {
            println!("{line}");
            std::process::ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("bare-loop: {error}");
            std::process::ExitCode::FAILURE
        }
    }
}
