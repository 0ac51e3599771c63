//! What operators are told: of a wrong way in, of a second cluster, of a node that is cut off.

use std::{
    io::{BufRead as _, BufReader},
    process::{Command, Stdio},
    sync::mpsc,
    time::Instant,
};

use serde_json::{Value, json};

use crate::{
    broker::{DEADLINE, Process, http},
    membership::{cluster_id, refused},
    nodes::{Cluster, TOKEN, agent, cluster_addr, eventually, founder, name, node},
    ports::free_address,
};

#[test]
fn tls_that_is_not_the_same_on_all_nodes_is_refused_with_a_sentence() {
    let dir = tempfile::tempdir().expect("a directory");
    for (tls, sentence) in
        [("true", "remove FLYMQ_CLUSTER_TLS_ENABLED=false"), ("false", "plain text between them")]
    {
        let data = |name: &str| dir.path().join(format!("{name}-{tls}"));
        let first = Process::run(founder(&data("a"), "a").env("FLYMQ_CLUSTER_TLS_ENABLED", tls));
        let mut other = agent(&data("b"), "b", &cluster_addr(&first));
        let opposite = if tls == "true" { "false" } else { "true" };
        let (code, text) = refused(other.env("FLYMQ_CLUSTER_TLS_ENABLED", opposite));
        assert_eq!(code, 9, "{text}");
        assert!(text.contains(sentence), "{text}");
        // Set alike it is let in.
        let again =
            Process::run(agent(&data("b"), "b", &cluster_addr(&first)).env("FLYMQ_CLUSTER_TLS_ENABLED", tls));
        assert_eq!(cluster_id(&again), cluster_id(&first));
    }
}

#[test]
fn a_wrong_address_to_join_at_is_told_for_what_it_is() {
    let dir = tempfile::tempdir().expect("a directory");
    let first = Process::run(&mut founder(&dir.path().join("a"), "a"));
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").to_string();
    let of = |door: &str| first.addr(door).to_string();
    for (server, sentence) in [
        (of("rest"), "an HTTP port answers there"),
        (of("health"), "an HTTP port answers there"),
        (of("grpc"), "a gRPC port answers there"),
        (of("native"), "ports for clients hang up like this"),
        (free, "is that node started"),
    ] {
        let mut lost = agent(&dir.path().join("b"), "b", &server);
        says_why(&mut lost, "waiting for the cluster to join", sentence);
    }
}

/// Waits for a line with this message whose `reason` has that sentence, and names the setting; the process is ended then.
fn says_why(command: &mut Command, message: &'static str, sentence: &str) {
    let mut child =
        command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("the binary is built");
    let lines = BufReader::new(child.stderr.take().expect("piped")).lines().map_while(Result::ok);
    let (sender, reasons) = mpsc::channel();
    std::thread::spawn(move || {
        for line in lines {
            let line: Value = serde_json::from_str(&line).unwrap_or_default();
            if line["message"] == message {
                let _ = sender.send(line["reason"].as_str().unwrap_or_default().to_owned());
            }
        }
    });
    let (give_up, mut others) = (Instant::now() + DEADLINE, Vec::new());
    let left = || give_up.saturating_duration_since(Instant::now());
    let found = std::iter::from_fn(|| reasons.recv_timeout(left()).ok()).any(|reason| {
        let found = reason.contains(sentence) && reason.contains("FLYMQ_CLUSTER_ADDR");
        others.push(reason);
        found
    });
    child.kill().expect("it runs");
    child.wait().expect("it ran");
    assert!(found, "{sentence:?} was not said, but {others:?}");
}

#[test]
fn a_founder_that_lost_its_disk_forms_no_second_cluster() {
    let mut cluster = Cluster::start(3);
    let lost = cluster.data(0);
    cluster.kill(0);
    std::fs::remove_dir_all(&lost).expect("its data");
    let other = cluster_addr(cluster.node(1));
    for variable in ["FLYMQ_SERVER", "FLYMQ_PEERS"] {
        let (code, text) = refused(founder(&lost, "n1").env(variable, &other));
        assert_eq!(code, 9, "{text}");
        assert!(text.contains("second one") && text.contains("FLYMQ_ROLE=agent"), "{text}");
    }
    // What the sentence says helps.
    let again = Process::run(&mut agent(&lost, "n1", &other));
    assert_eq!(cluster_id(&again), cluster_id(cluster.node(1)));
    // Where nobody belongs to a cluster it is formed.
    let free =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a port").local_addr().expect("bound").to_string();
    let new = Process::run(founder(&cluster.data(8), "n9").env("FLYMQ_SERVER", free));
    assert_ne!(cluster_id(&new), cluster_id(&again));
}

#[test]
fn a_member_says_what_it_is_without_being_told() {
    let mut cluster = Cluster::start(3);
    let addresses: Vec<_> = (0..3).map(|number| cluster_addr(cluster.node(number))).collect();
    for number in [0, 2] {
        cluster.stop(number);
        let mut command = node(&cluster.data(number), &name(number));
        let process = Process::run(command.env("FLYMQ_CLUSTER_ADDR", &addresses[number]));
        cluster.nodes[number] = Some(process);
    }
    let role = |process: &Process| process.rest("GET", "/api/v1/cluster", &Value::Null).1["role"].clone();
    assert_eq!((role(cluster.node(0)), role(cluster.node(2))), (json!("bootstrap"), json!("agent")));
    // The others know it as well.
    eventually("the roles", || {
        let told = cluster.node(1).rest("GET", "/api/v1/cluster/members", &Value::Null).1;
        let roles: Vec<_> = told["members"].as_array()?.iter().map(|member| member["role"].clone()).collect();
        (roles == ["bootstrap", "agent", "agent"]).then_some(())
    });
}

#[test]
fn a_node_without_a_majority_says_that_its_view_is_old_and_is_not_ready() {
    let mut cluster = Cluster::start(3);
    let addresses: Vec<_> = (0..3).map(|number| cluster_addr(cluster.node(number))).collect();
    let stale =
        |cluster: &Cluster, path| cluster.node(2).rest("GET", path, &Value::Null).1["stale_ms"].as_u64();
    let paths = ["/api/v1/cluster", "/api/v1/cluster/members"];
    for path in paths {
        eventually("a current view", || stale(&cluster, path).filter(|age| *age == 0));
    }
    let health = |cluster: &Cluster, path| http(cluster.node(2).addr("health"), "GET", path, &Value::Null);
    let in_touch = |cluster: &Cluster| {
        let check = health(cluster, "/health").1["checks"]["cluster"].clone();
        (check == "ok").then_some(())
    };
    eventually("a check that is ok", || in_touch(&cluster));
    let others = [0, 1];
    others.into_iter().for_each(|number| cluster.kill(number));
    for path in paths {
        eventually("an old view", || stale(&cluster, path).filter(|age| *age > 1_500));
    }
    eventually("not ready", || (health(&cluster, "/health/ready").0 == 503).then_some(()));
    let (_, told) = health(&cluster, "/health");
    let check = told["checks"]["cluster"].as_str().expect("a check");
    assert!(check.contains("no majority of the metadata group"), "{told}");
    assert_eq!(
        (&told["live"], &told["status"]),
        (&json!(true), &json!("degraded")),
        "it is not to be restarted"
    );
    eventually("the metric", || {
        cluster.node(2).metric("flymq_cluster_stale_seconds{node=\"n3\"}").filter(|age| *age > 1.5)
    });
    cluster.restart_at(&others, &addresses);
    eventually("ready again", || (health(&cluster, "/health/ready").0 == 200).then_some(()));
    eventually("a current view", || stale(&cluster, paths[0]).filter(|age| *age == 0));
    eventually("a check that is ok", || in_touch(&cluster));
}

#[test]
fn three_nodes_that_start_have_nothing_to_warn_of() {
    let cluster = Cluster::start(3);
    let dir = tempfile::tempdir().expect("a directory");
    let addresses = [0; 3].map(|_| free_address());
    let listed = addresses.each_ref().map(|address| {
        let mut command = node(&dir.path().join(address), &address.replace(':', "-"));
        command
            .env("FLYMQ_CLUSTER_ADDR", address)
            .env("FLYMQ_PEERS", addresses.join(","))
            .env("FLYMQ_CLUSTER_TOKEN", TOKEN);
        std::thread::spawn(move || Process::run(&mut command))
    });
    let listed = listed.map(|start| start.join().expect("it starts"));
    // What a machine that is busy with other things may bring about.
    let slow = ["waiting for", "ready, although", "a node is silent", "cannot reach a node"];
    for process in cluster.nodes.iter().flatten().chain(&listed) {
        let lines = process.lines_so_far();
        let noise = |line: &&Value| {
            let message = line["message"].as_str().unwrap_or_default();
            let slow = slow.iter().any(|start| message.starts_with(start));
            (line["level"] != "INFO" && !slow) || line.to_string().contains("https://")
        };
        assert!(lines.len() > 3, "it has logged how it starts");
        assert_eq!(lines.iter().filter(noise).collect::<Vec<_>>(), Vec::<&Value>::new());
    }
}
