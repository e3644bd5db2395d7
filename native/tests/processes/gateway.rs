//! The gateway of a hybrid cluster: terminals decide through it and outlive it, and an invite is good once.

use std::collections::BTreeMap;
use std::process::Stdio;

use phaselab_core::crypto::Signer;
use phaselab_core::envelope;
use phaselab_core::gateway::{FromGateway, Invite, Place, ToGateway, sign_join};
use phaselab_core::types::NodeId;

use super::support::{Folder, Running, base_port, eventually, free_addresses};

mod attacks;
mod lab;

use lab::{Lab, Socket, key};

#[test]
fn three_terminals_decide_through_the_gateway_and_outlive_it() {
    let mut lab = Lab::open(3);
    let mut nodes: Vec<Running> = (0..3).map(|seat| lab.joins(seat)).collect();
    for node in &mut nodes {
        node.wait_for("; joined");
    }
    lab.serve.wait_for("began");
    let genesis = lab.folder.0.join("phaselab-lobby/genesis.toml");
    let frozen = std::fs::read_to_string(&genesis).unwrap();
    assert_eq!(frozen.matches("[[member]]").count(), 3);
    lab.decides(0, "rent");
    for seat in 0..3 {
        eventually("every node has decided", || {
            (lab.status(seat)["instances"][0]["phase"] == "completed").then_some(())
        });
        assert_eq!(lab.status(seat)["refused"], 0);
    }
    assert!(lab.count("routed") > 0);

    // The gateway is killed, and comes back: the same members, the same world outside.
    lab.serve.kill();
    let (mut serve, _) = Lab::serve(&lab.folder, lab.port, 3);
    serve.wait_for("goes on");
    lab.serve = serve;
    lab.all_online(&[1, 2, 3]);
    lab.decides(1, "fuel");

    // A node is killed, and comes back as itself: by the command that it was told, or by the one that it joined with.
    eventually("it has decided both", || {
        let status = lab.status(2);
        let instances = status["instances"].as_array()?;
        let ended = instances.iter().filter(|of| of["phase"] == "completed");
        (ended.count() == 2).then_some(())
    });
    nodes[2].kill();
    nodes[2] = lab.joins(2);
    assert!(nodes[2].wait_for("recovered").contains("completed"));
    lab.decides(2, "wine");
    assert_eq!(std::fs::read_to_string(&genesis).unwrap(), frozen);
}

#[test]
fn members_that_know_each_others_addresses_need_no_gateway() {
    let mut lab = Lab::open(3);
    let mut nodes: Vec<Running> = (0..3).map(|seat| lab.joins(seat)).collect();
    // All have met before the first is gone.
    for node in &mut nodes {
        node.wait_for("; joined");
    }
    nodes.iter_mut().for_each(Running::kill);
    // What a person writes into the files: where each listens.
    let addresses = free_addresses(3);
    let configs: Vec<(usize, std::path::PathBuf)> = (0..3)
        .map(|seat| {
            let dir = lab.folder.0.join(lab.dir(seat));
            let id = (1..=3).find(|id| dir.join(format!("node-{id}.toml")).exists());
            (id.unwrap(), dir.join(format!("node-{}.toml", id.unwrap())))
        })
        .collect();
    for (id, config) in &configs {
        let mut text = std::fs::read_to_string(config).unwrap();
        text = text.replace("127.0.0.1:0", &addresses[id - 1].to_string());
        for peer in (1..=3).filter(|peer| peer != id) {
            text.push_str(&format!(
                "\n[[peer]]\nid = {peer}\naddress = \"{}\"\n",
                addresses[peer - 1]
            ));
        }
        std::fs::write(config, text).unwrap();
    }
    nodes = (0..3).map(|seat| lab.joins(seat)).collect();
    for node in &mut nodes {
        node.wait_for("; joined");
    }
    lab.all_online(&[1, 2, 3]);
    lab.decides(0, "rent");
    // Without it only what is directly linked goes on: all of them.
    lab.serve.kill();
    for seat in 0..3 {
        eventually("they are linked", || {
            let status = lab.status(seat);
            let peers = status["peers"].as_array()?;
            peers
                .iter()
                .all(|peer| peer["connected"] == true)
                .then_some(())
        });
    }
    lab.decides(1, "fuel");
}

#[test]
fn a_lobby_begins_with_those_who_are_there_when_its_host_says_so() {
    let mut lab = Lab::open(5);
    let mut nodes = vec![lab.joins(0)];
    nodes[0].wait_for("node 1: 1 of 5");
    nodes.push(lab.joins(1));
    nodes[0].wait_for("node 1: 2 of 5");
    lab.serve.type_line("start");
    lab.serve.wait_for("of 2 members");
    for node in &mut nodes {
        node.wait_for("; joined");
    }
    lab.decides(0, "rent");
    // Nobody joins any more, not even with an invite that nobody used.
    let mut late = lab.joins(4);
    assert_eq!(late.wait(), Some(2));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invite_is_good_for_one_key() {
    let lab = Lab::open(2);
    let first = lab.invites[0];
    let mut guest = Socket::connect(lab.port).await;
    guest.join(&first, &key(1)).await;
    let seated = |you| FromGateway::Lobby {
        you: NodeId(you),
        needed: 2,
        joined: vec![(NodeId(1), Place::Browser)],
    };
    assert_eq!(guest.next().await, Some(seated(1)));

    let refused = async |invite: &Invite, signer: &Signer| {
        let mut socket = Socket::connect(lab.port).await;
        socket.join(invite, signer).await;
        socket.refused().await.expect("a word")
    };
    assert!(
        refused(&first, &key(2))
            .await
            .contains("somebody else used this invite")
    );
    assert!(
        refused(&lab.invites[1], &key(1))
            .await
            .contains("has a seat already")
    );
    assert!(refused(&[9; 16], &key(2)).await.contains("no such invite"));

    // Somebody else's public key, without the private one.
    let mut thief = Socket::connect(lab.port).await;
    let proof = sign_join(&key(2), &thief.nonce, &lab.invites[1]);
    let join = ToGateway::Join {
        invite: lab.invites[1],
        key: key(1).public(),
        place: Place::Browser,
        proof,
    };
    thief.send(&join).await;
    assert!(thief.refused().await.unwrap().contains("expected a proof"));

    // A guest that lost its connection has its seat still, and hears that it began while it was away.
    drop(guest);
    let mut again = Socket::connect(lab.port).await;
    again.join(&first, &key(1)).await;
    assert_eq!(again.next().await, Some(seated(1)));
    drop(again);
    let mut second = Socket::connect(lab.port).await;
    second.join(&lab.invites[1], &key(2)).await;
    let genesis = second.begun().await;
    let mut away = Socket::connect(lab.port).await;
    away.join(&first, &key(1)).await;
    assert_eq!(away.begun().await, genesis);
    let keys: Vec<_> = genesis.members.iter().map(|member| member.key).collect();
    assert_eq!(keys, [key(1).public(), key(2).public()]);
    assert!(
        refused(&lab.invites[1], &key(7))
            .await
            .contains("began without this key")
    );
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_newest_connection_of_a_member_replaces_the_old() {
    let (lab, _nodes, attacker) = Lab::with_an_attacker().await;
    let mut old = attacker.connect().await;
    let mut new = attacker.connect().await;
    assert!(old.refused().await.unwrap().contains("connected elsewhere"));
    assert_eq!(lab.count("replaced"), 1);
    lab.decides(0, "rent");
    let mut heard = BTreeMap::new();
    while heard.len() < 2 {
        match new.next().await {
            Some(FromGateway::Packet(packet)) => {
                *heard
                    .entry(envelope::claimed_sender(&packet).unwrap())
                    .or_insert(0) += 1;
            }
            Some(_) => {}
            None => panic!("the connection ended"),
        }
    }
}

#[test]
fn wrong_words_are_refused_in_one_line() {
    let folder = Folder::new();
    let invite = "00".repeat(16);
    let join = |join: &str, invite: &str| {
        folder.refused(&["node", "--join", join, "--invite", invite, "--dir", "n"])
    };
    assert!(join("localhost", &invite).contains("expected the address"));
    assert!(join("http://127.0.0.1:1", "xyz").contains("expected the 32 hex digits"));
    assert!(join("http://127.0.0.1:1", &invite).contains("is `phaselab serve --lobby` running"));
    assert!(
        folder
            .refused(&["node", "--join", "http://127.0.0.1:1"])
            .contains("--invite")
    );
    std::fs::create_dir(folder.0.join("dist")).unwrap();
    std::fs::write(folder.0.join("dist/index.html"), "").unwrap();
    let serve = |words: &[&str]| {
        let mut all = vec!["serve", "--dir", "dist", "--port", "0"];
        all.extend(words);
        folder.refused(&all)
    };
    assert!(serve(&["--nodes", "3"]).contains("--lobby"));
    assert!(serve(&["--lobby", "--nodes", "3", "--start-when", "4"]).contains("there are 3 seats"));
    let made = folder
        .command(&["init", "--base-port", &base_port(3)])
        .stdout(Stdio::null())
        .status();
    assert!(made.unwrap().success());
    assert!(
        serve(&["--lobby", "--cluster", "phaselab-cluster"]).contains("a cluster of processes")
    );
    // A lobby is served once.
    let mut first =
        Running::start(folder.command(&["serve", "--dir", "dist", "--port", "0", "--lobby"]));
    first.wait_for("or in a terminal");
    assert!(serve(&["--lobby"]).contains("another gateway"));
}
