//! Reading the configuration: schema in [`node::config`], everything checked before anything is touched.
//!
//! A mistake is told as `file:line: field: reason`, all semantic ones at once.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use node::config::{Config, FunctionConfig, FunctionKind, HostAgent, Pair, Witness};
use sha2::{Digest, Sha256};

/// A configuration that was read and found good.
#[derive(Clone, Debug)]
pub struct Loaded {
    /// The configuration.
    pub config: Config,
    /// SHA-256 of the file, in hex: tells whether a process runs what the file says.
    pub hash: String,
}

/// Why a configuration was refused; one line for each mistake.
#[derive(Debug, thiserror::Error)]
#[error("{}", .0.join("\n"))]
pub struct ConfigError(Vec<String>);

/// Reads and checks the configuration of a `kind`.
pub fn load(path: &Path, kind: FunctionKind) -> Result<Loaded, ConfigError> {
    parse(&read(path)?, path, kind)
}

/// Reads and checks the configuration of a witness.
pub fn load_witness(path: &Path) -> Result<Witness, ConfigError> {
    let text = read(path)?;
    let witness: Witness = deserialize(&text, path)?;
    let mut mistakes = Mistakes(Vec::new());
    mistakes.check_witness(&witness);
    mistakes.into_result(&text, path)?;
    Ok(witness)
}

/// Reads the configuration of a host agent.
pub fn load_host_agent(path: &Path) -> Result<HostAgent, ConfigError> {
    deserialize(&read(path)?, path)
}

fn read(path: &Path) -> Result<String, ConfigError> {
    std::fs::read_to_string(path)
        .map_err(|error| ConfigError(vec![format!("{}: cannot be read: {error}", path.display())]))
}

fn deserialize<T: serde::de::DeserializeOwned>(text: &str, path: &Path) -> Result<T, ConfigError> {
    let options = serde_saphyr::options! { with_snippet: false };
    serde_saphyr::from_str_with_options(text, options).map_err(|error| {
        let line = error.location().map_or(0, |location| location.line());
        let field = field_at(text, usize::try_from(line).unwrap_or(0));
        let reason = first_line(&error.to_string());
        ConfigError(vec![format!("{}:{line}: {field}{reason}", path.display())])
    })
}

fn parse(text: &str, path: &Path, kind: FunctionKind) -> Result<Loaded, ConfigError> {
    let config: Config = deserialize(text, path)?;
    let mut mistakes = Mistakes(Vec::new());
    mistakes.check(&config, kind);
    mistakes.into_result(text, path)?;
    let hash = Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    Ok(Loaded { config, hash })
}

fn first_line(text: &str) -> String {
    let line = text.lines().next().unwrap_or("").trim();
    // The place stands before it already.
    line.rsplit_once(" at line ").map_or(line, |(reason, _)| reason).to_owned()
}

/// What is wrong, by field.
struct Mistakes(Vec<(String, String)>);

impl Mistakes {
    fn into_result(self, text: &str, path: &Path) -> Result<(), ConfigError> {
        if self.0.is_empty() {
            return Ok(());
        }
        let file = path.display();
        let told = self.0.into_iter().map(|(field, reason)| match line_of(text, &field) {
            Some(line) => format!("{file}:{line}: {field}: {reason}"),
            None => format!("{file}: {field}: {reason}"),
        });
        Err(ConfigError(told.collect()))
    }

    fn check_witness(&mut self, witness: &Witness) {
        self.expect(!witness.pairs.is_empty(), "pairs", "must name at least one pair");
        for (index, pair) in witness.pairs.iter().enumerate() {
            let field = format!("pairs[{index}]");
            self.check_lease(&format!("{field}.leaseMilliseconds"), pair.lease_milliseconds);
            let instances = format!("{field}.instances");
            self.expect(pair.instances.len() == 2, &instances, "must name two instances");
            for (number, instance) in pair.instances.iter().enumerate() {
                self.check_key(&format!("{instances}[{number}].publicKey"), &instance.public_key);
            }
            let is_first = !witness.pairs[..index].iter().any(|other| other.id == pair.id);
            self.expect(is_first, &format!("{field}.id"), "is the number of another pair too");
        }
    }

    fn check_lease(&mut self, field: &str, milliseconds: u32) {
        self.expect((20..=10_000).contains(&milliseconds), field, "must lie between 20 and 10000 ms");
    }

    fn expect(&mut self, is_right: bool, field: &str, reason: impl Into<String>) {
        if !is_right {
            self.0.push((field.to_owned(), reason.into()));
        }
    }

    fn check(&mut self, config: &Config, kind: FunctionKind) {
        let is_kind = config.kind() == kind;
        let reason =
            format!("is the configuration of a {}, this is {}", config.kind().as_str(), kind.as_str());
        self.expect(is_kind, "function", reason);
        for (field, text) in [
            ("instance", &config.instance),
            ("hostName", &config.host_name),
            ("homeDomain", &config.home_domain),
        ] {
            let is_name = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
            self.expect(is_name, field, "must be a name without spaces");
        }
        self.check_addresses(config, kind);
        self.check_durations(config);
        if let Some(pair) = &config.pair {
            self.check_pair(pair);
        }
        let needs_state = matches!(kind, FunctionKind::Hss | FunctionKind::Pcscf);
        let reason = "is needed: this function keeps durable state";
        self.expect(!needs_state || config.state_directory.is_some(), "stateDirectory", reason);
        self.expect(
            (256..=65_535).contains(&config.datagram_bytes_max),
            "datagramBytesMax",
            "must lie between 256 and 65535 bytes",
        );
        match &config.function {
            FunctionConfig::Pcscf(pcscf) => self.expect(
                pcscf.flow_token_key.len() == 32 && is_hex(&pcscf.flow_token_key),
                "function.pcscf.flowTokenKey",
                "must be 32 hex digits",
            ),
            FunctionConfig::Icscf(icscf) => {
                let field = "function.icscf.serverPatienceMilliseconds";
                let is_right = (100..=30_000).contains(&icscf.server_patience_milliseconds);
                self.expect(is_right, field, "must lie between 100 and 30000 ms");
                let reason = "must name at least one S-CSCF";
                self.expect(!icscf.servers.is_empty(), "function.icscf.servers", reason);
            }
            FunctionConfig::Scscf(scscf) => {
                let (min, max) = (scscf.registration_seconds_min, scscf.registration_seconds_max);
                let field = "function.scscf.registrationSecondsMin";
                self.expect(
                    min >= 1 && min <= max,
                    field,
                    format!("must lie between 1 s and the maximum, {max} s"),
                );
                // RFC 3261 §20.19: a delta is below 2^32 seconds; beyond a week a mistake is likelier than a wish.
                let field = "function.scscf.registrationSecondsMax";
                self.expect(max <= 604_800, field, "must not be above 604800 s (a week)");
                let field = "function.scscf.contactsMax";
                self.expect((1..=1000).contains(&scscf.contacts_max), field, "must lie between 1 and 1000");
            }
            FunctionConfig::Hss(hss) => {
                let end = u32::from(hss.sqn_index_first) + u32::from(hss.sqn_index_count);
                let field = "function.hss.sqnIndexCount";
                let reason = "must be at least 1, and sqnIndexFirst + sqnIndexCount at most 32 (TS 33.102 annex C.1.2)";
                self.expect(hss.sqn_index_count >= 1 && end <= 32, field, reason);
                let field = "function.hss.sequenceBlock";
                self.expect(
                    (1..=1 << 20).contains(&hss.sequence_block),
                    field,
                    "must lie between 1 and 1048576",
                );
            }
        }
    }

    fn check_pair(&mut self, pair: &Pair) {
        self.expect(matches!(pair.instance, 1 | 2), "pair.instance", "must be 1 or 2");
        self.check_lease("pair.leaseMilliseconds", pair.lease_milliseconds);
        self.check_key("pair.other.publicKey", &pair.other.public_key);
        self.check_key("pair.witness.publicKey", &pair.witness.public_key);
        for (index, neighbour) in pair.neighbours.iter().enumerate() {
            let field = format!("pair.neighbours[{index}]");
            self.expect(neighbour.id != pair.id, &format!("{field}.id"), "is the pair itself");
            let instances = format!("{field}.instances");
            self.expect(neighbour.instances.len() == 2, &instances, "must name two instances");
            for (number, instance) in neighbour.instances.iter().enumerate() {
                self.check_key(&format!("{instances}[{number}].publicKey"), &instance.public_key);
            }
        }
    }

    fn check_key(&mut self, field: &str, key: &str) {
        self.expect(hex_key(key).is_some(), field, "must be 64 hex digits");
    }

    fn check_addresses(&mut self, config: &Config, kind: FunctionKind) {
        let is_cscf = kind != FunctionKind::Hss;
        self.expect(!is_cscf || !config.listen.is_empty(), "listen", "must name at least one address");
        for (index, listen) in config.listen.iter().enumerate() {
            self.check_listening(&format!("listen[{index}].address"), listen.address);
            let field = format!("listen[{index}].transports");
            self.expect(!listen.transports.is_empty(), &field, "must name udp, tcp or both");
        }
        let peers = config.diameter.as_ref().map_or(0, |diameter| diameter.peers.len());
        let needs_peers = matches!(kind, FunctionKind::Icscf | FunctionKind::Scscf);
        self.expect(!needs_peers || peers > 0, "diameter.peers", "must name the HSS");
        let listening = config.diameter.iter().flat_map(|diameter| &diameter.listen);
        for (index, address) in listening.clone().enumerate() {
            self.check_listening(&format!("diameter.listen[{index}]"), *address);
        }
        let is_served = is_cscf || listening.count() > 0;
        self.expect(is_served, "diameter.listen", "must name at least one address");
    }

    fn check_listening(&mut self, field: &str, address: SocketAddr) {
        // It stands in Via, Record-Route and Path: a device must be able to answer to it.
        self.expect(
            !address.ip().is_unspecified(),
            field,
            format!(
                "{address} is no address that others can answer to: name one of this machine's addresses"
            ),
        );
        self.expect(address.port() != 0, field, "needs a port");
    }

    fn check_durations(&mut self, config: &Config) {
        let timers = &config.timers;
        let (t1, t2, t4) = (timers.t1_milliseconds, timers.t2_milliseconds, timers.t4_milliseconds);
        self.expect((1..=10_000).contains(&t1), "timers.t1Milliseconds", "must lie between 1 and 10000 ms");
        self.expect(t2 >= t1 && t2 <= 60_000, "timers.t2Milliseconds", "must lie between T1 and 60000 ms");
        self.expect((1..=60_000).contains(&t4), "timers.t4Milliseconds", "must lie between 1 and 60000 ms");
        // RFC 3261 §16.6 step 11.
        let c = timers.c_seconds;
        self.expect(
            c > 180 && c <= 86_400,
            "timers.cSeconds",
            "must be above 180 s (RFC 3261 §16.6) and at most a day",
        );
        let shed = config.shed_after_milliseconds;
        self.expect(
            (10..=30_000).contains(&shed),
            "shedAfterMilliseconds",
            "must lie between 10 and 30000 ms",
        );
        if let Some(diameter) = &config.diameter {
            // RFC 3539 §3.4.1: Tw must not be set lower than 6 s.
            let is_right = (6..=3600).contains(&diameter.watchdog_seconds);
            self.expect(
                is_right,
                "diameter.watchdogSeconds",
                "must lie between 6 s (RFC 3539 §3.4.1) and 3600 s",
            );
            let is_right = (100..=30_000).contains(&diameter.request_milliseconds);
            self.expect(is_right, "diameter.requestMilliseconds", "must lie between 100 and 30000 ms");
        }
    }
}

fn is_hex(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// One key of a block-style document, with its line (from 1), its depth and the path down to it.
fn keys(text: &str) -> Vec<(usize, String)> {
    let mut open: Vec<(usize, String, usize)> = Vec::new();
    let mut keys = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let mut rest = line.trim_start();
        let mut depth = line.len() - rest.len();
        if rest.is_empty() || rest.starts_with('#') {
            continue;
        }
        while let Some(item) = rest.strip_prefix("- ") {
            // An item of a list counts on under the key above it.
            open.retain(|(at, name, _)| *at < depth || (*at == depth && !name.starts_with('[')));
            if let Some(parent) = open.last_mut() {
                let number = parent.2;
                parent.2 += 1;
                open.push((depth + 1, format!("[{number}]"), 0));
                keys.push((index + 1, path_of(&open)));
            }
            depth += 2 + (item.len() - item.trim_start().len());
            rest = item.trim_start();
        }
        let Some((key, _)) = rest.split_once(':') else { continue };
        let key = key.trim_matches(['"', '\'', ' ']);
        open.retain(|(at, _, _)| *at < depth);
        open.push((depth, key.to_owned(), 0));
        keys.push((index + 1, path_of(&open)));
    }
    keys
}

fn path_of(open: &[(usize, String, usize)]) -> String {
    let mut path = String::new();
    for (_, name, _) in open {
        if !path.is_empty() && !name.starts_with('[') {
            path.push('.');
        }
        path.push_str(name);
    }
    path
}

/// The path of the key on a line, with a colon behind it.
fn field_at(text: &str, line: usize) -> String {
    let found = keys(text).into_iter().rfind(|(at, _)| *at == line);
    found.map(|(_, path)| format!("{path}: ")).unwrap_or_default()
}

/// The line of a field, or of the nearest one above it that the file names.
fn line_of(text: &str, field: &str) -> Option<usize> {
    let keys = keys(text);
    let mut wanted = field;
    loop {
        if let Some((line, _)) = keys.iter().find(|(_, path)| path == wanted) {
            return Some(*line);
        }
        wanted = &wanted[..wanted.rfind(['.', '['])?];
    }
}

/// Reads the key-encryption key: 64 hex digits in a file that nobody but its owner can read. Its content is never
/// printed, also not in an error.
pub fn read_key(path: &Path) -> Result<[u8; 32], ConfigError> {
    use std::os::unix::fs::PermissionsExt;
    let refuse = |reason: String| ConfigError(vec![format!("{}: {reason}", path.display())]);
    let metadata =
        std::fs::metadata(path).map_err(|error| refuse(format!("the key file cannot be read: {error}")))?;
    let mode = metadata.permissions().mode() & 0o777;
    if mode & 0o077 != 0 {
        return Err(refuse(format!("the key file is readable by others (mode {mode:03o}): chmod 600 it")));
    }
    let text = std::fs::read_to_string(path)
        .map_err(|error| refuse(format!("the key file cannot be read: {error}")))?;
    hex_key(text.trim()).ok_or_else(|| refuse("the key file must hold 64 hex digits and nothing else".into()))
}

/// A key of 32 bytes from its hex digits.
pub fn hex_key(text: &str) -> Option<[u8; 32]> {
    let mut key = [0; 32];
    if text.len() != 64 || !is_hex(text) {
        return None;
    }
    for (byte, pair) in key.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    Some(key)
}

/// A function's state directory, made when it is not there, for the owner alone.
pub fn state_directory(config: &Config) -> Result<PathBuf, ConfigError> {
    use std::os::unix::fs::DirBuilderExt;
    let path = config.state_directory.clone().expect("checked with the configuration");
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&path)
        .map_err(|error| ConfigError(vec![format!("{}: cannot be made: {error}", path.display())]))?;
    Ok(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    const GOOD: &str = "instance: scscf-1
hostName: scscf.ims.example
homeDomain: ims.example
listen:
  - address: 127.0.0.3:5060
  - address: '[::1]:5060'
    transports: [udp]
diameter:
  peers:
    hss.ims.example: 127.0.0.4:3868
timers:
  t1Milliseconds: 500
adminSocket: /tmp/admin
function:
  scscf:
    serverName: sip:scscf.ims.example
    icscfUri: sip:icscf.ims.example
";

    fn check(change: (&str, &str), expected: &str) {
        assert!(GOOD.contains(change.0));
        let text = GOOD.replacen(change.0, change.1, 1);
        let error =
            parse(&text, Path::new("scscf.yaml"), FunctionKind::Scscf).expect_err("refused").to_string();
        assert!(error.contains(expected), "expected {expected:?} in {error:?}");
    }

    #[test]
    fn a_good_file_is_taken() {
        let loaded = parse(GOOD, Path::new("scscf.yaml"), FunctionKind::Scscf).unwrap();
        assert_eq!(loaded.config.listen.len(), 2);
        assert_eq!(loaded.hash.len(), 64);
    }

    #[test]
    fn a_mistake_names_file_line_field_and_reason() {
        check(
            ("t1Milliseconds: 500", "t1Millisecond: 500"),
            "scscf.yaml:12: timers.t1Millisecond: unknown field",
        );
        check(("t1Milliseconds: 500", "t1Milliseconds: soon"), "scscf.yaml:12: timers.t1Milliseconds: ");
        check(
            ("t1Milliseconds: 500", "t1Milliseconds: 0"),
            "scscf.yaml:12: timers.t1Milliseconds: must lie between",
        );
        check(
            ("127.0.0.3:5060", "0.0.0.0:5060"),
            "scscf.yaml:5: listen[0].address: 0.0.0.0:5060 is no address",
        );
        check(("[::1]:5060", "::1"), "scscf.yaml:6: listen[1].address: ");
        check(("[udp]", "[sctp]"), "scscf.yaml:7: listen[1].transports: ");
        check(("[udp]", "[]"), "scscf.yaml:7: listen[1].transports: must name");
        check(
            ("    hss.ims.example: 127.0.0.4:3868\n", "    {}\n"),
            "scscf.yaml:9: diameter.peers: must name the HSS",
        );
        check(("instance: scscf-1\n", ""), "instance");
        check(("serverName", "servername"), "scscf.yaml:16: function.scscf.servername: unknown field");
    }

    #[test]
    fn the_configuration_of_another_function_is_refused() {
        let error = parse(GOOD, Path::new("x.yaml"), FunctionKind::Icscf).unwrap_err().to_string();
        assert!(
            error.contains("x.yaml:14: function: is the configuration of a scscf, this is icscf"),
            "{error}"
        );
    }

    #[test]
    fn a_key_file_that_others_can_read_is_refused_and_its_content_never_told() {
        use std::os::unix::fs::PermissionsExt;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        let key = "5e".repeat(32);
        std::fs::write(&path, &key).unwrap();
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o640)).unwrap();
        let error = read_key(&path).unwrap_err().to_string();
        assert!(error.contains("mode 640") && !error.contains("5e5e"), "{error}");
        std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600)).unwrap();
        assert_eq!(read_key(&path).unwrap(), [0x5e; 32]);
        std::fs::write(&path, &key[1..]).unwrap();
        assert!(!read_key(&path).unwrap_err().to_string().contains("5e5e"));
    }
}
