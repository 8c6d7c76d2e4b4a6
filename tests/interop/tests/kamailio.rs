//! Kamailio 5.6 as I-CSCF and S-CSCF on our HSS: what it asks over Cx our HSS answers so that phones register by AKA and are
//! called. Its places are a folder of the test and a mount namespace with a hosts file of its own, in which it finds the HSS.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use interop::core::Core;
use interop::process::{Process, wait_until};
use interop::sipp::Sipp;
use interop::subscribers::{Subscriber, many, to_sipp};
use interop::tools;

const TABLES: &str = "/usr/share/kamailio/dbtext/kamailio";
const MODULES: &str = "/usr/lib/x86_64-linux-gnu/kamailio/modules";
/// The 3GPP's schema of the user profile: with it Kamailio checks what our HSS sends.
const SCHEMA: &str = "/usr/share/doc/kamailio/examples/ims/scscf/CxDataType_Rel8.xsd";

/// Can it run here?
fn is_possible() -> bool {
    if !tools::has(&["sipp", "kamailio", "unshare"]) {
        return false;
    }
    if !Path::new(TABLES).is_dir() || !Path::new(MODULES).join("presence.so").is_file() {
        println!("skipped: kamailio-presence-modules or its tables are not installed");
        return false;
    }
    let may_mount =
        Command::new("unshare").args(["--mount", "true"]).status().is_ok_and(|status| status.success());
    if !may_mount {
        println!("skipped: this user may not make a mount namespace for Kamailio's hosts file");
    }
    may_mount
}

/// Writes a template with its words filled in.
fn fill(template: &str, to: &Path, words: &[(&str, &str)]) -> Result<()> {
    let mut text = std::fs::read_to_string(tools::own_file(&format!("kamailio/{template}")))?;
    for (word, value) in words {
        text = text.replace(word, value);
    }
    std::fs::write(to, text).with_context(|| to.display().to_string())
}

/// The tables Kamailio wants: those of its package, and the S-CSCFs its I-CSCF knows.
fn write_tables(folder: &Path) -> Result<()> {
    std::fs::create_dir(folder)?;
    for entry in std::fs::read_dir(TABLES)? {
        let entry = entry?;
        std::fs::copy(entry.path(), folder.join(entry.file_name()))?;
    }
    std::fs::write(
        folder.join("nds_trusted_domains"),
        "id(int,auto) trusted_domain(string) \n1:ims.example\n",
    )?;
    let servers =
        "id(int,auto) name(string) s_cscf_uri(string) \n1:Kamailio:sip\\:scscf.ims.example\\:6060\n";
    std::fs::write(folder.join("s_cscf"), servers)?;
    let capabilities = "id(int,auto) id_s_cscf(int) capability(int) \n1:1:0\n";
    std::fs::write(folder.join("s_cscf_capabilities"), capabilities)?;
    Ok(())
}

/// Starts one; `function` is `icscf` or `scscf`.
fn start(function: &str, address: Ipv4Addr, folder: &Path) -> Result<Process> {
    let place = |name: String| folder.join(name);
    let directory = folder.to_str().context("a UTF-8 path")?;
    let schema = match Path::new(SCHEMA).is_file() {
        true => format!("modparam(\"ims_registrar_scscf\", \"user_data_xsd\", \"{SCHEMA}\")"),
        false => String::new(),
    };
    let (name, ip) = (format!("kamailio-{function}"), address.to_string());
    let words =
        [("@ADDRESS@", ip.as_str()), ("@DIRECTORY@", "/mnt"), ("@SCHEMA@", &schema), ("@NAME@", &name)];
    fill(&format!("{function}.cfg"), &place(format!("{function}.cfg")), &words)?;
    fill("diameter.xml", &place(format!("{function}.xml")), &words)?;
    let run = place(format!("{function}-run"));
    std::fs::create_dir(&run)?;
    // cdp leaves pipes in /tmp whose names are process numbers; killed with its namespace, no process of it is left.
    let script = "mount --bind \"$1/hosts\" /etc/hosts && mount --bind \"$1\" /mnt && mount -t tmpfs none /tmp && \
                  exec kamailio -DD -E -m 64 -M 8 -f \"/mnt/$2.cfg\" -Y \"/mnt/$2-run\"";
    let log = File::create(place(format!("{function}.log")))?;
    let mut command = Command::new("unshare");
    command.args([
        "--mount",
        "--propagation",
        "private",
        "--pid",
        "--fork",
        "--kill-child",
        "sh",
        "-c",
        script,
    ]);
    command.args(["kamailio", directory, function]);
    command.stdout(log.try_clone()?).stderr(log);
    Process::start("kamailio", &mut command)
}

#[test]
fn phones_register_by_aka_and_are_called_at_kamailio_on_our_hss() -> Result<()> {
    if !is_possible() {
        return Ok(());
    }
    let core = Core::start()?;
    let subscribers = many("user", 50, Subscriber::aka);
    let first = [Subscriber::aka("first")];
    core.import(&[&subscribers[..], &first].concat())?;
    let folder = core.directory().join("kamailio");
    std::fs::create_dir(&folder)?;
    write_tables(&folder.join("tables"))?;
    let (icscf, scscf) = (core.device(0), core.device(1));
    let hosts = format!(
        "127.0.0.1 localhost\n{} hss.ims.example\n{scscf} scscf.ims.example kamailio-scscf.ims.example\n\
         {icscf} kamailio-icscf.ims.example\n",
        core.hss().ip()
    );
    std::fs::write(folder.join("hosts"), hosts)?;
    let mut running = [start("icscf", icscf, &folder)?, start("scscf", scscf, &folder)?];
    let logs = &|| {
        let log = |name: &str| std::fs::read_to_string(folder.join(name)).unwrap_or_default();
        let last = |text: String| {
            let lines: Vec<_> = text.lines().collect();
            lines[lines.len().saturating_sub(40)..].join("\n")
        };
        format!("--- I-CSCF\n{}\n--- S-CSCF\n{}", last(log("icscf.log")), last(log("scscf.log")))
    };
    // Their Diameter connections: two more than those of our own I-CSCF and S-CSCF.
    let both = || core.diameter_connections() >= 4;
    wait_until("Kamailio's peers connect", Duration::from_secs(30), both).with_context(logs)?;
    ensure!(running.iter_mut().all(|process| !process.has_ended()), "Kamailio runs\n{}", logs());

    let entry = SocketAddr::from((icscf, 5060));
    let phones = SocketAddr::from((core.device(2), 5060));
    // Kamailio sends its 401 before it stores the vector: who answers at once is challenged again.
    let challenge = "<recv response=\"401\" auth=\"true\"/>\n";
    let patient = format!("{challenge}  <pause milliseconds=\"100\"/>\n");
    // What a P-CSCF adds.
    let supported = "      Supported: path\n";
    let visited = "      Supported: path\n      Require: path\n      Path: <sip:term@[local_ip]:[local_port];lr>\n      \
                   P-Visited-Network-ID: ims.example\n";
    let register = |people: &[Subscriber]| {
        let register = Sipp::new("register_aka", entry, phones).with(to_sipp(people, &[]));
        register.at(people.len(), 10.0).edited(challenge, &patient).edited(supported, visited)
    };
    // Its peers have yet to exchange capabilities.
    let serves = || {
        let once = register(&first).option(&["-recv_timeout", "3000"]);
        once.run().is_ok_and(|outcome| outcome.successful == 1)
    };
    wait_until("Kamailio serves", Duration::from_secs(30), serves).with_context(logs)?;
    register(&subscribers).run_all().with_context(logs)?;
    let listed = core.evertone(&["subscriber", "show", "user0000@ims.example"])?;
    ensure!(listed.contains("  registered"), "the HSS knows that the user is registered:\n{listed}");

    // For each, its I-CSCF asks our HSS by LIR which S-CSCF has the callee; the Path leads to the phones.
    let (callees, caller) = (&subscribers[..20], SocketAddr::from((core.device(3), 5060)));
    for procedure in ["message", "call"] {
        let answering = Sipp::new(&format!("{procedure}_uas"), entry, phones).at(20, 20.0).start()?;
        let asking = Sipp::new(&format!("{procedure}_uac"), entry, caller);
        asking.with(to_sipp(callees, callees)).at(20, 20.0).run_all().with_context(logs)?;
        answering.wait()?.expect_all(20).with_context(logs)?;
    }
    drop(running);
    core.finish()
}
