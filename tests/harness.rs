//! Runs the program and the simulator, and looks at lakes.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use costlake_transform::BlobOptions;
use serde_json::Value;
use tempfile::TempDir;

/// The program under test.
pub(crate) const PROGRAM: &str = env!("CARGO_BIN_EXE_costlake");

/// No program runs longer than this; one that does hangs.
const DEADLINE: Duration = Duration::from_secs(170);

/// The pipeline of nearly every test: all of the enrollment that the simulator names.
pub(crate) const PIPELINE: &str = r#"
[azure]
arm_endpoint = { env = "COSTLAKE_ARM_ENDPOINT" }
storage_endpoints = [{ env = "COSTLAKE_STORAGE_ENDPOINT" }]

[azure.auth]
kind = "client-secret"
authority = { env = "AZURE_AUTHORITY_HOST" }
tenant_id = { env = "AZURE_TENANT_ID" }
client_id = { env = "AZURE_CLIENT_ID" }
client_secret = { env = "AZURE_CLIENT_SECRET" }

[[scope]]
billing_account = { env = "COSTLAKE_DEMO_BILLING_ACCOUNT" }

[pull]
metrics = ["both"]
periods = ["2025-05..2025-07"]
"#;

/// How a program ended.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) code: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl Outcome {
    /// Asserts the exit code and returns the outcome.
    #[track_caller]
    pub(crate) fn exits(self, code: i32) -> Self {
        assert_eq!(self.code, Some(code), "exit code\n{}\n{}", self.stdout, self.stderr);
        self
    }

    /// Asserts that each text is in what the program said on stderr.
    #[track_caller]
    pub(crate) fn says(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stderr.contains(text), "stderr lacks {text:?}:\n{}", self.stderr);
        }
        self
    }

    /// Asserts that each text is in the result.
    #[track_caller]
    pub(crate) fn shows(self, texts: &[&str]) -> Self {
        for text in texts {
            assert!(self.stdout.contains(text), "stdout lacks {text:?}:\n{}", self.stdout);
        }
        self
    }

    /// The result as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|error| panic!("{error}:\n{}\n{}", self.stdout, self.stderr))
    }
}

/// The program with a clean environment.
pub(crate) fn costlake() -> Command {
    let mut command = Command::new(PROGRAM);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

/// Runs the program with arguments.
pub(crate) fn run<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> Outcome {
    finish(costlake().args(args).spawn().unwrap())
}

/// Waits for a program and returns what it said.
pub(crate) fn finish(mut child: Child) -> Outcome {
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let status = wait_until("the program ends", || child.try_wait().unwrap());
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("all output is UTF-8");
    Outcome {
        code: status.code(),
        stdout: text(stdout.join().unwrap()),
        stderr: text(stderr.join().unwrap()),
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.read_to_end(&mut bytes).unwrap();
        }
        bytes
    })
}

/// Waits until a condition gives a value.
#[track_caller]
pub(crate) fn wait_until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let started = Instant::now();
    loop {
        if let Some(value) = condition() {
            return value;
        }
        assert!(started.elapsed() < DEADLINE, "waited too long until {what}");
        // The pause between two looks, not the wait itself.
        thread::park_timeout(Duration::from_millis(10));
    }
}

/// A local Azure, ended when dropped.
pub(crate) struct Simulator {
    child: Child,
    environment: Vec<(String, String)>,
    _directory: TempDir,
}

impl Simulator {
    /// Starts one that is never slow, with more arguments.
    pub(crate) fn start(args: &[&str]) -> Self {
        let directory = TempDir::new().unwrap();
        let file = directory.path().join("env");
        let child = costlake()
            .args(["simulate", "--listen", "127.0.0.1:0", "--retry-after", "0", "--env-file"])
            .arg(&file)
            .args(args)
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut simulator = Self { child, environment: Vec::new(), _directory: directory };
        let text = wait_until("the simulator is ready", || {
            assert_eq!(simulator.child.try_wait().unwrap(), None, "the simulator ended");
            fs::read_to_string(&file).ok()
        });
        let pair = |line: &str| {
            let (name, value) = line.strip_prefix("export ").unwrap().split_once('=').unwrap();
            (name.to_owned(), value.trim_matches('\'').to_owned())
        };
        simulator.environment = text.lines().map(pair).collect();
        simulator
    }

    /// What the demo pipeline reads.
    pub(crate) fn environment(&self) -> impl Iterator<Item = (&str, &str)> {
        self.environment.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// One value of the environment.
    pub(crate) fn variable(&self, name: &str) -> &str {
        self.environment().find(|(known, _)| *known == name).unwrap().1
    }

    /// Queues a fault; see `crates/sim/src/server/control.rs`.
    pub(crate) fn fault(&self, fault: &Value) {
        self.control("POST", "faults", &format!("[{fault}]"));
    }

    /// The number of requests so far of a kind: token, submit, poll, blob.
    pub(crate) fn requests(&self, kind: &str) -> u64 {
        let log: Value = serde_json::from_str(&self.control("GET", "requests", "")).unwrap();
        log["counts"][kind].as_u64().unwrap_or(0)
    }

    /// The scopes that it knows.
    pub(crate) fn organization(&self) -> Value {
        serde_json::from_str(&self.control("GET", "organization", "")).unwrap()
    }

    /// Shows the next state of the open month.
    pub(crate) fn advance(&self) {
        self.control("POST", "advance", "");
    }

    /// Ends the server, as if Azure went away.
    pub(crate) fn shut_down(&mut self) {
        self.control("POST", "shutdown", "");
        wait_until("the simulator is gone", || self.child.try_wait().unwrap());
    }

    /// Forgets all faults.
    pub(crate) fn forget_faults(&self) {
        self.control("DELETE", "faults", "");
    }

    fn control(&self, method: &str, command: &str, body: &str) -> String {
        let address = self.variable("COSTLAKE_ARM_ENDPOINT").strip_prefix("http://").unwrap();
        let mut stream = TcpStream::connect(address).unwrap();
        let length = body.len();
        write!(
            stream,
            "{method} /_simulator/{command} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\
             Content-Length: {length}\r\n\r\n{body}"
        )
        .unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        assert!(head.starts_with("HTTP/1.1 2"), "{head}\n{body}");
        body.to_owned()
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        // By its own id; it may be gone already.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// A simulator, a pipeline file and an empty place for a lake.
pub(crate) struct World {
    pub(crate) simulator: Simulator,
    pub(crate) directory: TempDir,
}

impl World {
    /// A simulator with arguments, and [`PIPELINE`].
    pub(crate) fn new(args: &[&str]) -> Self {
        let world = Self { simulator: Simulator::start(args), directory: TempDir::new().unwrap() };
        fs::write(world.pipeline(), PIPELINE).unwrap();
        world
    }

    /// A small one that answers at the first poll.
    pub(crate) fn small() -> Self {
        Self::new(&["--polls", "0", "--rows-per-month", "300"])
    }

    pub(crate) fn pipeline(&self) -> PathBuf {
        self.directory.path().join("pipeline.toml")
    }

    pub(crate) fn lake(&self) -> PathBuf {
        self.directory.path().join("lake")
    }

    /// The program with the simulator's environment and the lake.
    pub(crate) fn command(&self, args: &[&str]) -> Command {
        let mut command = costlake();
        command.args(args).envs(self.simulator.environment()).env("COSTLAKE_LAKE", self.lake());
        command
    }

    /// `costlake run` of the pipeline, with more arguments.
    pub(crate) fn run(&self, args: &[&str]) -> Outcome {
        finish(self.run_command(args).spawn().unwrap())
    }

    /// The command of [`Self::run`], for tests that want to be there while it runs.
    pub(crate) fn run_command(&self, args: &[&str]) -> Command {
        let mut command = self.command(&["run", "--config"]);
        command.arg(self.pipeline()).args(args);
        command
    }
}

/// A file of a lake at some time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Object {
    pub(crate) bytes: Vec<u8>,
    pub(crate) modified: SystemTime,
}

/// All files of a lake but those on their way: what is staged or landed, and the journal. By path below it.
pub(crate) fn lake_files(lake: &Path) -> BTreeMap<String, Object> {
    let mut found = BTreeMap::new();
    collect(lake, lake, &mut found);
    let on_the_way = ["_costlake/staging/", "_costlake/landing/", "_costlake/journal/"];
    found.retain(|path, _| !on_the_way.iter().any(|folder| path.starts_with(folder)));
    found
}

/// What readers of a lake find: bytes by path.
pub(crate) fn published(lake: &Path) -> BTreeMap<String, Vec<u8>> {
    let files = lake_files(lake).into_iter().filter(|(path, _)| !path.starts_with("_costlake/"));
    files.map(|(path, object)| (path, object.bytes)).collect()
}

/// The commit records of a lake, oldest first.
pub(crate) fn commits(lake: &Path) -> Vec<Value> {
    let files = lake_files(lake).into_iter();
    let commits = files.filter(|(path, _)| path.starts_with("_costlake/commits/"));
    commits.map(|(_, object)| serde_json::from_slice(&object.bytes).unwrap()).collect()
}

/// The manifest of the object at a path below a lake.
pub(crate) fn manifest(lake: &Path, path: &str) -> Value {
    let name = path.strip_suffix("/data.parquet").unwrap();
    let file = lake.join("_costlake/manifests").join(format!("{name}.json"));
    serde_json::from_slice(&fs::read(file).unwrap()).unwrap()
}

fn collect(root: &Path, directory: &Path, found: &mut BTreeMap<String, Object>) {
    let Ok(entries) = fs::read_dir(directory) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(root, &path, found);
            continue;
        }
        let name = path.strip_prefix(root).unwrap().to_str().unwrap().to_owned();
        let modified = fs::metadata(&path).unwrap().modified().unwrap();
        found.insert(name, Object { bytes: fs::read(&path).unwrap(), modified });
    }
}

/// A cost file of two days of 2025-05 in three departments, one row a line.
pub(crate) const SMALL_HEADER: &str = "BillingAccountId,InvoiceSectionId,InvoiceSectionName,Date,\
    BillingPeriodStartDate,CostInBillingCurrency,BillingCurrencyCode,ChargeType,PricingModel,Quantity,Team";

/// A row of [`SMALL_HEADER`].
pub(crate) fn small_row(department: &str, name: &str, day: u32, cost: &str) -> String {
    format!(
        "1234567,{department},\"{name}\",05/{day:02}/2025,05/01/2025,{cost},EUR,Usage,OnDemand,1,blue"
    )
}

/// A cost file of rows with CRLF ends.
pub(crate) fn small_file(rows: &[String]) -> String {
    let lines = std::iter::once(SMALL_HEADER).chain(rows.iter().map(String::as_str));
    lines.map(|line| format!("{line}\r\n")).collect()
}

/// Three sound rows.
pub(crate) fn sound_rows() -> Vec<String> {
    vec![
        small_row("7", "Öl, Gas", 1, "1.25"),
        small_row("8", "Retail", 2, "0.000000000000000000000001"),
        small_row("", "", 2, "-0.75"),
    ]
}

/// Bytes as a gzip stream.
pub(crate) fn gzipped(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    encoder.write_all(bytes).unwrap();
    encoder.finish().unwrap()
}

/// How tests that read blobs themselves want them read.
pub(crate) fn blob_options(
    currency: Option<&str>,
    metric: &str,
    chunk_bytes: usize,
) -> BlobOptions {
    let metric = metric.parse().unwrap();
    BlobOptions { ordinal: 0, metric, currency: currency.map(str::to_owned), chunk_bytes }
}

/// A Python script of the tests, below their folder, with the readers that `make .venv` installs; `None`,
/// with a word on it, where they are not.
pub(crate) fn python(script: &str) -> Option<Command> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python = root.join(".venv/bin/python");
    if !python.exists() {
        println!("skipped: no {}; `make .venv` makes it", python.display());
        return None;
    }
    let mut command = Command::new(python);
    command.arg(root.join("tests").join(script));
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    Some(command)
}

/// The reference folder of the project, if it is here; else says so.
pub(crate) fn reference(path: &str) -> Option<PathBuf> {
    let root = std::env::var_os("COSTLAKE_REFERENCE").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/reference"),
        PathBuf::from,
    );
    let found = root.join(path);
    if found.exists() {
        return Some(found);
    }
    println!("skipped: {} is not here; set COSTLAKE_REFERENCE", found.display());
    None
}

/// A path as text.
pub(crate) fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}
