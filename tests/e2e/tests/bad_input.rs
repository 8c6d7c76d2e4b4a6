//! What goes wrong at the operator's hands: a mistake in the file, an address that is taken, a store that is damaged, a
//! disk that is full. Each is refused with a sentence, and what runs runs on.

use std::net::UdpSocket;
use std::path::{Path, PathBuf};
use std::time::Duration;

use e2e::{Core, Finished, Kind, Phones, Subscriber, csv, subscribers, wait_until};

const PATIENCE: Duration = Duration::from_secs(30);

#[test]
fn a_mistake_in_the_file_is_named_with_its_line_and_a_running_core_is_left_alone() {
    let mut core = Core::new(31);
    let good = core.spec.clone();
    let cases: [(&str, &str, &str, &str); 8] = [
        ("  homeDomain: ims.example\n", "  homeDomain: ims.example\n  homeDomian: x\n", ":7", "homeDomian"),
        (
            "  homeDomain: ims.example\n",
            "  homeDomain: \"not a domain\"\n",
            ":6: spec.homeDomain",
            "is not a domain name",
        ),
        ("127.2.31.11", "127.2.31.256", ": spec.pcscf.addresses[0]", "is not an IPv4 or IPv6 address"),
        ("127.2.31.11", "0.0.0.0", ": spec.pcscf.addresses[0]", "write the one that phones use"),
        ("  scscf:\n", "  scscf:\n    port: 70000\n", ": spec.scscf.port", "not within 1 to 65535"),
        ("  scscf:\n", "  scscf:\n    port: many\n", ": spec.scscf.port", "a whole number is needed"),
        (
            "  hss:\n",
            "  registration:\n    secondsMin: 7200\n  hss:\n",
            ": spec.registration.secondsMin",
            "above secondsMax",
        ),
        ("    unprotectedAka: true\n", "    unprotectedAka: true\n   hss: [\n", ":", "core.yaml"),
    ];
    let wrong = |core: &mut Core, (from, to): (&str, &str)| -> Finished {
        core.spec = good.replacen(from, to, 1);
        assert_ne!(core.spec, good, "the case changes something");
        let up = core.up().failed();
        core.spec = good.clone();
        up
    };
    // Nothing runs yet: nothing is begun.
    let up = wrong(&mut core, ("127.2.31.11", "x"));
    println!("{}", up.err);
    assert_eq!(core.processes(), [], "{}", up.text());

    core.up().succeeded();
    let (pids, controller) = (core.pids(), core.controller_pid());
    for (from, to, place, reason) in cases {
        let up = wrong(&mut core, (from, to));
        println!("{}", up.err.trim_end());
        let first =
            up.err.lines().find(|line| line.contains("core.yaml")).unwrap_or_else(|| panic!("{}", up.text()));
        let has_line = first
            .split("core.yaml:")
            .nth(1)
            .is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()));
        assert!(has_line && first.contains(place), "{place:?} is missing: {}", up.text());
        up.says(reason);
    }
    assert_eq!((core.pids(), core.controller_pid()), (pids.clone(), controller), "all run on");
    core.run(&["status"]).succeeded();
    core.run(&["up"]).succeeded().says("nothing had to change");
    core.run(&["up", "-f", "/does/not/exist.yaml"]).failed().says("/does/not/exist.yaml");
    assert_eq!(core.pids(), pids);
}

#[test]
fn a_taken_address_is_named_with_who_holds_it_and_taken_once_it_is_free() {
    let core = Core::new(32);
    let holder = UdpSocket::bind(core.entry()).expect("the address is free");
    let me = format!("(pid {})", std::process::id());
    let up = core.up().failed().says("127.2.32.11:4060/udp").says(&me);
    println!("up: {:.1} s\n{}", up.took.as_secs_f64(), up.err);
    let status = core.run(&["status"]).failed().says("127.2.32.11:4060/udp").says(&me);
    println!("{}", status.out);
    drop(holder);
    // The controller goes on trying by itself.
    assert!(wait_until(PATIENCE, || core.run(&["status"]).code == Some(0)), "it comes up");
    let taken = UdpSocket::bind(core.entry()).expect_err("the P-CSCF has it");
    assert_eq!(taken.kind(), std::io::ErrorKind::AddrInUse);
}

/// A core with subscribers that are registered, and is down.
fn with_registered(number: u8, people: &[Subscriber]) -> Core {
    let core = Core::serving(number, people);
    let mut phones = Phones::new(&core);
    let numbers = phones.add_all(people);
    assert_eq!(phones.register(&numbers, PATIENCE), people.len());
    core.run(&["down"]).succeeded();
    core
}

fn store(core: &Core) -> PathBuf {
    core.state_directory().join("hss/hss.redb")
}

fn assert_all_registered(core: &Core, people: &[Subscriber]) {
    let list = core.run(&["subscriber", "list"]).succeeded();
    let found = list
        .out
        .lines()
        .filter(|line| line.contains("registered") && !line.contains("not registered"))
        .count();
    assert_eq!(found, people.len(), "{}", list.out);
}

#[test]
fn a_damaged_store_is_refused_with_a_sentence_and_nothing_is_made_worse() {
    let people = subscribers("sim", 20, Kind::Aka);
    let core = with_registered(33, &people);
    let store = store(&core);
    let whole = std::fs::read(&store).expect("the store is there");
    let newer = {
        let database = redb::Database::open(&store).expect("nobody has it open");
        let write = database.begin_write().expect("it can be written");
        let table = redb::TableDefinition::<&[u8], &[u8]>::new("evertone.format");
        write
            .open_table(table)
            .expect("the table is there")
            .insert(&b"format"[..], &[2_u8][..])
            .expect("it is written");
        write.commit().expect("it is written");
        drop(database);
        std::fs::read(&store).expect("the store is there")
    };
    // Wherever somebody's name stands: one of these places is in use.
    let mut flipped = whole.clone();
    let name = people[0].private_identity.as_bytes();
    for at in (0..whole.len() - name.len()).filter(|at| whole[*at..].starts_with(name)) {
        flipped[at..at + name.len()].iter_mut().for_each(|byte| *byte ^= 0x5a);
    }
    assert_ne!(flipped, whole, "the store holds {}", people[0].private_identity);
    let mut garbage = whole.clone();
    garbage.iter_mut().enumerate().for_each(|(index, byte)| *byte = (index * 7 + index / 251) as u8);
    let damages: [(&str, Vec<u8>, &str); 5] = [
        ("cut in half", whole[..whole.len() / 2].to_vec(), "restore a backup"),
        ("empty", Vec::new(), "restore a backup"),
        ("garbage", garbage, "restore a backup"),
        ("a name overwritten", flipped, "restore a backup"),
        ("of a newer version", newer, "newer version"),
    ];
    for (what, bytes, advice) in damages {
        std::fs::write(&store, &bytes).expect("it can be written");
        let up = core.run(&["up"]).failed();
        println!("{what}: {}", up.err.trim_end());
        assert!(up.err.contains("hss.redb") && up.err.contains(advice), "{what}: {}", up.text());
        let status = core.run(&["status"]).failed();
        assert!(status.out.contains(advice), "{what}: {}", status.out);
        core.run(&["logs", "hss"]).succeeded().says(advice);
        // A whole store of another version has been opened to see that: its free pages may have been counted anew.
        let left = std::fs::read(&store).expect("it is there");
        assert!(left == bytes || what == "of a newer version", "{what}: it is left as it was");
        core.run(&["subscriber", "list"]).failed();
        core.run(&["down"]).succeeded();
    }
    std::fs::write(&store, &whole).expect("it can be written");
    core.run(&["up"]).succeeded();
    assert_all_registered(&core, &people);
    core.run(&["down"]).succeeded();
    // The key is lost: what it opens is lost, and nobody makes a new one silently.
    let key = core.state_directory().join("keys/key-encryption-key");
    let kept = std::fs::read(&key).expect("the key is there");
    std::fs::remove_file(&key).expect("it is ours");
    println!("{}", core.run(&["up"]).failed().says("which is missing").err);
    write_private(&key, "00".repeat(32).as_bytes());
    let up = core.run(&["up"]).failed();
    println!("{}", up.err);
    up.says("give the HSS the old key file back");
    core.run(&["down"]).succeeded();
    write_private(&key, &kept);
    core.run(&["up"]).succeeded();
    assert_all_registered(&core, &people);
}

fn write_private(path: &Path, bytes: &[u8]) {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let mut options = std::fs::OpenOptions::new();
    let mut file =
        options.write(true).create(true).truncate(true).mode(0o600).open(path).expect("it can be opened");
    file.write_all(bytes).expect("it can be written");
}

/// A small disk of our own.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(at: &Path, mebibytes: u32) -> Option<SmallDisk> {
        std::fs::create_dir_all(at).expect("a directory can be made");
        let size = format!("size={mebibytes}m,mode=0700");
        let mut mount = std::process::Command::new("mount");
        let done = mount.args(["-t", "tmpfs", "-o", &size, "none"]).arg(at).output();
        done.is_ok_and(|done| done.status.success()).then(|| SmallDisk(at.to_owned()))
    }

    /// Fills it, but for `left` bytes.
    fn fill(&self, left: usize) {
        use std::io::Write;
        let path = self.0.join("filler");
        let mut file = std::fs::File::create(&path).expect("it can be made");
        let mut length: u64 = 0;
        while file.write_all(&[0; 4096]).is_ok() {
            length += 4096;
        }
        file.set_len(length.saturating_sub(left as u64)).expect("it can be cut");
    }

    fn make_room(&self) {
        std::fs::remove_file(self.0.join("filler")).expect("it is there");
    }

    fn remount(&self, how: &str) {
        let options = format!("remount,{how}");
        let done = std::process::Command::new("mount").args(["-o", &options]).arg(&self.0).status();
        assert!(done.is_ok_and(|status| status.success()), "it is remounted {how}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_is_told_and_takes_nothing_that_was_confirmed() {
    // Declared before the disk, which is so unmounted first: a directory with a disk in it cannot be removed.
    let mut core = Core::new(34);
    let Some(disk) = SmallDisk::mount(&core.directory().join("disk"), 16) else {
        eprintln!("skipped: this user may not mount a small disk");
        return;
    };
    core.put_state_in(&disk.0);
    core.up().succeeded();
    let people = subscribers("sim", 20, Kind::Aka);
    core.import(&people);
    let mut phones = Phones::new(&core);
    let numbers = phones.add_all(&people);
    assert_eq!(phones.register(&numbers[..10], PATIENCE), 10);
    disk.fill(0);
    let many = core.file("many.csv", csv(&subscribers("many", 20_000, Kind::Digest)));
    let import = core.run(&["subscriber", "import", &many.display().to_string()]).failed();
    println!("import: {}", import.err.trim_end());
    let words = "make room on the disk";
    assert!(
        wait_until(PATIENCE, || core.run(&["status", "--events", "200"]).text().contains(words)),
        "status says so"
    );
    println!("{}", core.run(&["status"]).text());
    // What fits still works, and nothing is forgotten.
    assert!(wait_until(PATIENCE, || core.run(&["subscriber", "list", "--limit", "1"]).code == Some(0)));
    let shown = core.run(&["subscriber", "show", &people[0].private_identity]).succeeded();
    assert!(shown.out.contains("  registered"), "{}", shown.out);
    disk.make_room();
    core.run(&["up"]).succeeded();
    let again = phones.register(&numbers, PATIENCE);
    assert_eq!(again, people.len());
    let shown = core.run(&["subscriber", "show", &people[19].private_identity]).succeeded();
    assert!(shown.out.contains("  registered"), "{}", shown.out);
    core.run(&["subscriber", "import", &many.display().to_string()]).succeeded();
    core.run(&["down"]).succeeded();
}

#[test]
fn a_disk_that_turns_read_only_is_told_and_takes_nothing_that_was_confirmed() {
    let core = Core::new(35);
    let Some(disk) = SmallDisk::mount(&core.state_directory().join("hss"), 32) else {
        eprintln!("skipped: this user may not mount a small disk");
        return;
    };
    let people = subscribers("soft", 10, Kind::Digest);
    core.up().succeeded();
    core.import(&people);
    let mut phones = Phones::new(&core);
    let numbers = phones.add_all(&people);
    assert_eq!(phones.register(&numbers[..5], PATIENCE), 5);
    // The HSS has its file open for writing, so the kernel refuses to remount before it is stopped.
    core.run(&["down"]).succeeded();
    disk.remount("ro");
    let up = core.run(&["up"]).failed();
    println!("{}", up.err);
    up.says("ead-only").says("hss.redb");
    core.run(&["status"]).failed().says("ead-only");
    core.run(&["logs", "hss"]).succeeded().says("ead-only");
    disk.remount("rw");
    core.run(&["up"]).succeeded();
    for subscriber in &people[..5] {
        let shown = core.run(&["subscriber", "show", &subscriber.private_identity]).succeeded();
        assert!(shown.out.contains("  registered"), "{}", shown.out);
    }
    core.run(&["down"]).succeeded();
}
