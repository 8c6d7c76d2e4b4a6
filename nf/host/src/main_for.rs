//! What all binaries share: command line, configuration, logging, sockets, the run, the exit code.
//!
//! | exit code | meaning |
//! |---|---|
//! | 0 | stopped gracefully, or `--check` found nothing wrong |
//! | 64 | the command line is wrong |
//! | 69 | an address cannot be listened on |
//! | 71 | the operating system refused something else |
//! | 74 | the store cannot be read or made durable |
//! | 75 | stopped before all was answered |
//! | 76 | cannot go on as an instance of its pair: to be started anew |
//! | 78 | the configuration is wrong |
//!
//! The numbers are those of sysexits.h.

use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, AtomicU64};
use std::sync::{Arc, Mutex};

use node::config::{Config, FunctionKind};
use node::{Function, Node, Setup, Topology};
use pair::Twin;
use tokio::sync::mpsc;

use crate::admin::{self, Info, Shared};
use crate::config::{ConfigError, Loaded};
use crate::diameter::{self, DiameterStreams};
use crate::listen::{self, Bound};
use crate::log::{self, Format};
use crate::machine::Built;
use crate::metrics::Metrics;
use crate::paired::{self, PairWires};
use crate::run::{Driver, End, Wires};
use crate::tcp::{self, SipStreams};
use crate::udp::Udp;

/// Why a process ends before its time: a sentence and an exit code.
#[derive(Debug)]
pub struct Failure {
    sentence: String,
    code: u8,
}

impl Failure {
    fn new(code: u8, sentence: impl std::fmt::Display) -> Failure {
        Failure { sentence: sentence.to_string(), code }
    }

    /// The command line is wrong.
    pub fn usage(sentence: impl std::fmt::Display) -> Failure {
        Failure::new(64, sentence)
    }

    /// An address cannot be listened on.
    pub fn address(sentence: impl std::fmt::Display) -> Failure {
        Failure::new(69, sentence)
    }

    /// The operating system refused something.
    pub fn system(sentence: impl std::fmt::Display) -> Failure {
        Failure::new(71, sentence)
    }

    /// The store cannot be used.
    pub fn store(sentence: impl std::fmt::Display) -> Failure {
        Failure::new(74, sentence)
    }

    /// The kernel gives no random numbers.
    pub fn random(error: getrandom::Error) -> Failure {
        Failure::system(format!("no random numbers: {error}"))
    }

    /// The configuration is wrong.
    pub fn config(sentence: impl std::fmt::Display) -> Failure {
        Failure::new(78, sentence)
    }
}

const STOPPED_IN_HASTE: u8 = 75;
const BROKEN: u8 = 76;

/// Runs the function of a kind until it is told to stop. `build` makes its machine.
pub fn main_for<F: Function>(
    kind: FunctionKind,
    build: impl FnOnce(&Setup) -> Result<Built<Node<F>>, Failure>,
) -> ExitCode {
    exit_code(kind.as_str(), try_main(kind, build))
}

/// Runs a program beside the functions until it is told to stop: `load` reads its configuration, `serve` does its work.
pub fn main_of<C>(
    name: &str,
    load: impl FnOnce(&Path) -> Result<C, ConfigError>,
    serve: impl FnOnce(&tokio::runtime::Runtime, &C) -> Result<(), Failure>,
) -> ExitCode {
    let run = || {
        let Some(arguments) = prepare(name)? else { return Ok(ExitCode::SUCCESS) };
        let config = load(&arguments.config).map_err(Failure::config)?;
        if arguments.is_check {
            println!("{}: good", arguments.config.display());
            return Ok(ExitCode::SUCCESS);
        }
        serve(&start(&arguments)?, &config)?;
        Ok(ExitCode::SUCCESS)
    };
    exit_code(name, run())
}

/// What a program ends with: a failure is told.
fn exit_code(name: &str, result: Result<ExitCode, Failure>) -> ExitCode {
    result.unwrap_or_else(|failure| {
        // Also when logging is not up yet; without panicking when nobody listens on standard error.
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "{name}: {}", failure.sentence);
        ExitCode::from(failure.code)
    })
}

fn try_main<F: Function>(
    kind: FunctionKind,
    build: impl FnOnce(&Setup) -> Result<Built<Node<F>>, Failure>,
) -> Result<ExitCode, Failure> {
    let Some(arguments) = prepare(kind.as_str())? else { return Ok(ExitCode::SUCCESS) };
    let loaded = crate::config::load(&arguments.config, kind).map_err(Failure::config)?;
    if arguments.is_check {
        println!("{}: good", arguments.config.display());
        return Ok(ExitCode::SUCCESS);
    }
    let runtime = start(&arguments)?;
    let end = runtime.block_on(serve(loaded, build));
    // Tasks of streams may still wait for their peers.
    runtime.shutdown_background();
    Ok(match end? {
        End::Stopped => ExitCode::SUCCESS,
        End::StoppedInHaste => ExitCode::from(STOPPED_IN_HASTE),
        End::StoreFailed => ExitCode::from(Failure::store("").code),
        End::Broken => ExitCode::from(BROKEN),
    })
}

/// Reads the command line; `None`: all that was asked has been said.
fn prepare(name: &str) -> Result<Option<Arguments>, Failure> {
    // Whoever starts us may have blocked signals for itself (a shell, a supervisor), and a child inherits that: SIGTERM would
    // never arrive. Threads that are started later inherit from this one.
    nix::sys::signal::SigSet::empty()
        .thread_set_mask()
        .map_err(|error| Failure::system(format!("signals cannot be let in: {error}")))?;
    match Arguments::read(name, std::env::args().skip(1))? {
        Asked::Run(arguments) => Ok(Some(arguments)),
        Asked::Print(text) => {
            println!("{text}");
            Ok(None)
        }
    }
}

/// Starts logging and the runtime.
fn start(arguments: &Arguments) -> Result<tokio::runtime::Runtime, Failure> {
    log::start(arguments.format, &std::env::var("EVERTONE_LOG").unwrap_or_else(|_| "info".into()));
    listen::raise_file_limit();
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::system(format!("the runtime cannot be started: {error}")))
}

async fn serve<F: Function>(
    loaded: Loaded,
    build: impl FnOnce(&Setup) -> Result<Built<Node<F>>, Failure>,
) -> Result<End, Failure> {
    let config = &loaded.config;
    // The sockets first: a second copy of a running instance stops here, before it touches the store.
    let socket = &config.admin_socket;
    let admin = admin::bind(socket)
        .map_err(|error| Failure::address(format!("cannot listen on {}: {error}", socket.display())))?;
    let made = bind(config).and_then(|(bound, pair)| {
        let setup = setup(config)?;
        Ok((bound, pair, build(&setup)?, setup))
    });
    let (bound, pair, built, setup) = made.inspect_err(|_| drop(std::fs::remove_file(socket)))?;
    let shared = shared(&loaded, &bound, pair.as_ref().map(|(wires, _)| wires));
    let (commands, inbox) = mpsc::channel(64);
    admin::serve(admin, shared.clone(), commands)
        .map_err(|error| Failure::system(format!("the admin endpoint cannot be started: {error}")))?;
    tracing::info!(
        instance = config.instance,
        function = shared.info.function,
        version = shared.info.version,
        listening = shared.info.listening.join(" "),
        "started"
    );
    let mut wires = wires(config, bound, inbox);
    let end = match pair {
        None => Driver::new(built, wires, shared, setup.wall).run().await,
        Some((pair, start)) => {
            wires.pair = Some(pair);
            let built =
                Built { machine: Twin::new(crate::clock::now(), start, built.machine), store: built.store };
            Driver::new(built, wires, shared, setup.wall).run().await
        }
    };
    let end = end.map_err(|error| Failure::system(format!("signals cannot be listened to: {error}")))?;
    // Left behind it would be replaced at the next start; gone it says that nobody is there.
    let _ = std::fs::remove_file(socket);
    tracing::info!(?end, "ended");
    Ok(end)
}

/// All sockets. Those that an instance shares with its copy are not read before it serves.
fn bind(config: &Config) -> Result<(Bound, Option<(PairWires, pair::Start)>), Failure> {
    let Some(pair) = &config.pair else {
        return Ok((listen::bind(config).map_err(Failure::address)?, None));
    };
    let joined = paired::join(config, pair)?;
    let diameter = listen::bind_diameter(config).map_err(Failure::address)?;
    Ok((Bound { diameter, ..Bound::default() }, Some(joined)))
}

fn setup(config: &Config) -> Result<Setup, Failure> {
    let mut seed = [0; 32];
    getrandom::fill(&mut seed).map_err(Failure::random)?;
    Ok(Setup {
        topology: Topology::new(config.hosts.clone()),
        config: config.clone(),
        wall: crate::clock::wall_origin(),
        seed,
    })
}

fn shared(loaded: &Loaded, bound: &Bound, pair: Option<&PairWires>) -> Arc<Shared> {
    let config = &loaded.config;
    let listening = bound.udp.iter().map(|(address, _)| format!("{address}/udp"));
    let listening = listening.chain(bound.tcp.iter().map(|(address, _)| format!("{address}/tcp")));
    let listening = listening.chain(pair.into_iter().flat_map(PairWires::addresses));
    let listening = listening.chain(bound.diameter.iter().map(|(address, _)| format!("{address}/diameter")));
    let shared =
        shared_of(config.kind().as_str(), &config.instance, listening.collect(), loaded.hash.clone());
    shared.peers().wanted =
        config.diameter.iter().flat_map(|diameter| diameter.peers.keys().cloned()).collect();
    shared
}

/// What loop and admin endpoint of a process share, at its start.
pub fn shared_of(
    function: &'static str,
    instance: &str,
    listening: Vec<String>,
    config_hash: String,
) -> Arc<Shared> {
    let now = crate::clock::now();
    Arc::new(Shared {
        metrics: Metrics::new(function, instance),
        recorder: Mutex::default(),
        info: Info {
            instance: instance.to_owned(),
            function,
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            start_micros: crate::clock::wall_origin().at(now).0,
            listening,
            config_hash,
        },
        heartbeat_micros: AtomicU64::new(now.as_micros()),
        is_stopping: AtomicBool::new(false),
        peers: Mutex::default(),
        standing: Mutex::default(),
    })
}

/// Joins bound sockets to the loop's ends.
pub fn wires(config: &Config, bound: Bound, commands: mpsc::Receiver<admin::Command>) -> Wires {
    // SIP takes the even numbers, Diameter the odd ones; see `Streams::new`.
    let id_first = crate::clock::now().as_micros() & !1;
    let mut from: Vec<IpAddr> = config.listen.iter().map(|listen| listen.address.ip()).collect();
    from.extend(bound.diameter.iter().map(|(address, _)| address.ip()));
    Wires {
        udp: Udp::new(bound.udp),
        tcp: SipStreams::new(tcp::LIMITS, bound.tcp, id_first),
        diameter: DiameterStreams::new(diameter::LIMITS, bound.diameter, from, id_first + 1),
        commands,
        pair: None,
    }
}

/// What the command line asks for.
struct Arguments {
    config: PathBuf,
    /// Only read it.
    is_check: bool,
    format: Option<Format>,
}

enum Asked {
    Run(Arguments),
    Print(String),
}

impl Arguments {
    fn read(name: &str, arguments: impl Iterator<Item = String>) -> Result<Asked, Failure> {
        let usage = format!(
            "usage: {name} --config FILE [--check] [--log-format json|text]\n\n\
             --config FILE   the configuration\n\
             --check         read the configuration, say what is wrong with it, and end\n\
             --log-format    how log lines on standard error look; text on a terminal, else json\n\
             --version       print the version and end\n\n\
             EVERTONE_LOG    what to log: error, warn, info, debug, trace, or host=debug and the like\n\n\
             exit codes: 0 stopped, 64 command line, 69 address, 71 system, 74 store, 75 stopped in haste, \
             76 broken in its pair, 78 configuration"
        );
        let (mut config, mut is_check, mut format) = (None, false, None);
        let mut arguments = arguments;
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--config" => config = arguments.next().map(PathBuf::from),
                "--check" => is_check = true,
                "--log-format" => {
                    format = match arguments.next().as_deref() {
                        Some("json") => Some(Format::Json),
                        Some("text") => Some(Format::Text),
                        _ => return Err(Failure::usage("--log-format takes json or text")),
                    }
                }
                "--version" => return Ok(Asked::Print(format!("{name} {}", env!("CARGO_PKG_VERSION")))),
                "--help" | "-h" => return Ok(Asked::Print(usage)),
                other => return Err(Failure::usage(format!("unknown argument {other}\n{usage}"))),
            }
        }
        let config = config.ok_or_else(|| Failure::usage(format!("--config FILE is missing\n{usage}")))?;
        Ok(Asked::Run(Arguments { config, is_check, format }))
    }
}
