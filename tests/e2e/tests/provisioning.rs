//! Subscribers by the hundred thousand, and their secrets: in, and never out.

use std::time::Duration;

use e2e::{Core, Kind, Phones, csv, subscribers};
use rustix::process::Signal;

const PATIENCE: Duration = Duration::from_secs(120);

#[test]
fn a_hundred_thousand_subscribers_are_imported_listed_shown_and_removed() {
    let count = 100_000;
    let mut people = subscribers("sim", count / 2, Kind::Aka);
    people.extend(subscribers("soft", count / 2, Kind::Digest));
    let core = Core::serving(41, &[]);
    let file = core.file("many.csv", csv(&people)).display().to_string();
    let import = core
        .run(&["subscriber", "import", &file])
        .succeeded()
        .says("100000 subscribers were added, 0 replaced");
    println!("import of {count}: {:.1} s", import.took.as_secs_f64());
    core.status_with_figures().succeeded().says("subscribers: 100000, registered: 0");
    let list = core.run(&["subscriber", "list", "-o", "json"]).succeeded();
    println!("list of {count}: {:.1} s", list.took.as_secs_f64());
    assert_eq!(list.out.lines().count(), count);
    let some = core.run(&["subscriber", "list", "--limit", "7", "--after", "sim100@ims.example"]).succeeded();
    assert_eq!(some.out.lines().filter(|line| line.contains("@ims.example")).count(), 7, "{}", some.out);
    for name in ["sim0", "sim49999", "soft25000", "soft49999"] {
        core.run(&["subscriber", "show", &format!("sip:{name}@ims.example")])
            .succeeded()
            .says("not registered");
    }
    let again = core
        .run(&["subscriber", "import", &file])
        .succeeded()
        .says("0 subscribers were added, 100000 replaced");
    println!("import again: {:.1} s", again.took.as_secs_f64());

    let mut phones = Phones::new(&core);
    let numbers = phones.add_all(&[people[17].clone(), people[count / 2 + 17].clone()]);
    assert_eq!(phones.register(&numbers, PATIENCE), 2);
    core.run(&["subscriber", "remove", "sim17@ims.example"]).succeeded();
    core.run(&["subscriber", "show", "sim17@ims.example"])
        .failed()
        .says("there is no subscriber sim17@ims.example");
    core.run(&["subscriber", "remove", "sim17@ims.example"]).failed();
    core.status_with_figures().succeeded().says("subscribers: 99999, registered: 1");
    phones.order(numbers[0], |device, now| device.register(now));
    phones.run_until(PATIENCE, |phones| phones.device(numbers[0]).is_quiet());
    assert!(phones.registration_failure(numbers[0]).is_some(), "a removed subscriber registers no more");

    // The store is opened again in a moment, however large.
    let old = core.kill("hss");
    let killed = std::time::Instant::now();
    assert!(e2e::wait_until(PATIENCE, || core.successor("hss", old).is_some()));
    println!("HSS with {count} subscribers ready {:.2} s after SIGKILL", killed.elapsed().as_secs_f64());
}

#[test]
fn a_mistake_in_an_import_is_named_with_line_and_field_and_nothing_is_imported() {
    let core = Core::serving(42, &[]);
    let good = csv(&subscribers("good", 3, Kind::Aka));
    let (k, opc) = ("00112233445566778899aabbccddeeff", "ffeeddccbbaa99887766554433221100");
    let cases = [
        (format!("bad@ims.example,sip:bad@ims.example,{}x,{opc},", &k[..31]), "line 5", "k"),
        (format!("bad@ims.example,sip:bad@ims.example,{k},{},", &opc[..30]), "line 5", "opc"),
        (format!("bad@ims.example,,{k},{opc},"), "line 5", "publicIdentities"),
        (format!("bad@,sip:bad@ims.example,{k},{opc},"), "line 5", "privateIdentity"),
        ("bad@ims.example,sip:bad@ims.example,,,".to_owned(), "line 5", ""),
        (format!("bad@ims.example,http://bad,{k},{opc},"), "line 5", "publicIdentities"),
    ];
    for (row, line, field) in cases {
        let file = core.file("bad.csv", format!("{good}{row}\n")).display().to_string();
        let import = core
            .run(&["subscriber", "import", &file])
            .failed()
            .says(line)
            .says(field)
            .says("nothing was imported");
        println!("{}", import.err.trim_end());
        assert!(
            !import.text().contains(&k[..30]) && !import.text().contains(&opc[..30]),
            "a secret is printed"
        );
        core.status_with_figures().says("subscribers: 0,");
    }
    let file = core.file("header.csv", "privateIdentity,color\na@ims.example,red\n").display().to_string();
    for arguments in
        [&["subscriber", "import", &file][..], &["subscriber", "import", "--skip-mistakes", &file]]
    {
        let import = core.run(arguments).failed().says("color").says("nothing was imported");
        println!("{}", import.err);
        assert!(!import.err.contains("--skip-mistakes"), "it would not help: {}", import.err);
    }
    core.run(&["subscriber", "import", "/does/not/exist"]).failed().says("/does/not/exist");
    let file = core.file("bad.csv", format!("{good}bad,,,,\n")).display().to_string();
    core.run(&["subscriber", "import", "--skip-mistakes", &file])
        .succeeded()
        .says("3 subscribers were added, 0 replaced, 1 left out");
    let add = core.run(&["subscriber", "add", "x@ims.example", "--k", &k[..30], "--opc", opc]).failed();
    println!("{}", add.err);
    assert!(!add.text().contains(&k[..30]), "a secret is printed");
}

#[test]
fn an_identity_that_is_taken_is_named_with_its_line_before_anything_is_written() {
    let there = e2e::Subscriber::new("there", Kind::Digest);
    let core = Core::serving(44, std::slice::from_ref(&there));
    // More than one request of the import, and of the HSS's bound, and a duplicate across that.
    let mut people = subscribers("new", 10_050, Kind::Digest);
    let mut thief = e2e::Subscriber::new("thief", Kind::Digest);
    thief.public_identity = there.public_identity.clone();
    let mut twin = e2e::Subscriber::new("twin", Kind::Digest);
    twin.public_identity = people[7].public_identity.clone();
    people.extend([thief, people[5].clone(), twin]);
    let file = core.file("taken.csv", csv(&people)).display().to_string();
    let import = core
        .run(&["subscriber", "import", &file])
        .failed()
        .says(
            "line 10052, publicIdentities: sip:there@ims.example belongs to the subscriber there@ims.example",
        )
        .says("line 10053, privateIdentity: new5@ims.example is in line 7 already")
        .says("line 10054, publicIdentities: sip:new7@ims.example is in line 9 already")
        .says("nothing was imported");
    println!("{}", import.err.trim_end());
    core.status_with_figures().says("subscribers: 1,");
    core.run(&["subscriber", "import", "--skip-mistakes", &file])
        .succeeded()
        .says("10050 subscribers were added, 0 replaced, 3 left out");
    core.status_with_figures().says("subscribers: 10051,");
}

#[test]
fn a_backup_that_cannot_be_written_does_not_pause_the_hss() {
    let core = Core::serving(45, &[]);
    let before = core.pids();
    for target in ["/proc/no/such/place", "/dev/null/file", &core.directory().display().to_string()] {
        let backup = core.run(&["backup", target]).failed().says(target);
        println!("{}", backup.err.trim_end());
        assert_eq!(core.pids(), before, "the HSS was stopped for nothing");
    }
    let target = core.directory().join("whole.evertone").display().to_string();
    core.run(&["backup", &target]).succeeded().says("the HSS paused");
    assert!(!std::path::Path::new(&format!("{target}.new")).exists());
}

#[test]
fn no_secret_is_in_anything_that_the_core_writes_for_people() {
    let mut core = Core::new(43);
    // The most that an operator can ask for.
    core.spec.push_str("  logLevel: trace\n");
    core.up().succeeded();
    let mut people = subscribers("sim", 4, Kind::Aka);
    people.extend(subscribers("soft", 4, Kind::Digest));
    core.import(&people);
    let stranger = e2e::Subscriber { password: "neverright123".into(), ..people[5].clone() };
    let mut phones = Phones::new(&core);
    let numbers = phones.add_all(&people);
    let wrong = phones.add(&stranger);
    assert_eq!(phones.register(&numbers, PATIENCE), people.len());
    phones.register(&[wrong], PATIENCE);
    phones.call(numbers[0], numbers[1], PATIENCE).expect("the call succeeds");
    let mut text = String::new();
    for subscriber in &people {
        for verb in [&["subscriber", "show"][..], &["trace"][..]] {
            let mut arguments = verb.to_vec();
            arguments.push(&subscriber.public_identity);
            text.push_str(&core.run(&arguments).text());
        }
    }
    for arguments in [
        &["subscriber", "list"][..],
        &["subscriber", "list", "-o", "json"],
        &["subscriber", "list", "-o", "yaml"],
    ] {
        text.push_str(&core.run(arguments).succeeded().out);
    }
    // A death, too, leaves words behind.
    signal_all(&core);
    core.up().succeeded();
    text.push_str(&core.run(&["config"]).text());
    text.push_str(&core.all_text());
    assert!(text.contains("sip:sim0@ims.example") && text.len() > 10_000, "there is something to search");
    for subscriber in &people {
        for secret in subscriber.secret_texts() {
            assert!(!text.contains(&secret), "a secret of {} is printed", subscriber.private_identity);
        }
    }
    assert!(!text.contains(&stranger.password));
    // Logs hold no identity in clear either.
    let logs = std::fs::read_dir(core.state_directory().join("logs")).expect("logs").flatten();
    for log in logs {
        let text = std::fs::read_to_string(log.path()).expect("a log is text");
        for subscriber in &people {
            let name = subscriber.private_identity.split('@').next().expect("a name");
            let is_named = text.lines().find(|line| line.contains(&format!("{name}@")));
            assert_eq!(is_named, None, "{} names a subscriber", log.path().display());
        }
    }
    // And the store: credentials are sealed.
    let store = std::fs::read(core.state_directory().join("hss/hss.redb")).expect("the store is there");
    for subscriber in &people {
        for secret in [subscriber.key, subscriber.opc]
            .iter()
            .map(<[u8; 16]>::as_slice)
            .chain([subscriber.password.as_bytes()])
        {
            assert!(
                !store.windows(secret.len()).any(|window| window == secret),
                "a secret lies in the store in clear"
            );
        }
    }
}

fn signal_all(core: &Core) {
    for pid in core.pids().into_values() {
        e2e::signal(pid, Signal::SEGV);
    }
}
