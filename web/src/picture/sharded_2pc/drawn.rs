//! Draws boxes, tables, rail and sum.

use phaselab_core::view::{AccountView, SlotStanding, SlotView};
use yew::prelude::*;

use super::rail::{Rail, Station, rail};
use super::sum::{Sum, is_equal, item_text, items, sum};
use super::table::{Column, Row, ballot, ballot_text, cell_words, is_crowned, table};
use crate::page::parts::percent;
use crate::scene::{GroupBox, NodeScene, Scene};

/// The crown of whoever leads.
pub(super) fn crown(scene: &Scene, node: &NodeScene) -> Html {
    if !is_crowned(scene, node) {
        return html! {};
    }
    let told = format!(
        "leads cluster {} by ballot {}",
        node.group,
        ballot_text(ballot(scene, node.group))
    );
    html! {
        <span class="crown" title={told.clone()} data-testid={format!("crown-{}", node.id)}>
            <span aria-hidden="true">{ "♛" }</span><span class="unseen">{ told }</span>
        </span>
    }
}

/// What a cluster's box shows: its name and its leader's ballot, the table, and its items.
pub(super) fn cluster(scene: &Scene, of: &GroupBox) -> Html {
    let table = table(scene, &of.nodes);
    let part = rail(scene).and_then(|rail| part(&rail, of.group));
    let leader = match table.ballot.round {
        0 => "nobody leads".to_owned(),
        _ => format!("ballot {}", ballot_text(table.ballot)),
    };
    let older = match table.older {
        0 => String::new(),
        older => format!("{older} older"),
    };
    let (accounts, more) = items(scene, of.group);
    let items = accounts
        .into_iter()
        .map(|account| chip(scene, of.group, account));
    html! {
        <>
            <div class="cluster-head">
                <strong class="cluster-name">{ format!("Cluster {}", of.group) }</strong>
                { for part.map(|part| html! { <span class="cluster-part">{ part }</span> }) }
                <span class="cluster-ballot">{ leader }</span>
            </div>
            <table class="slot-table" data-testid={format!("slot-table-{}", of.group)}>
                <caption class="unseen">{ format!("The log of cluster {}", of.group) }</caption>
                <thead>
                    <tr>
                        <th scope="col"><span class="older">{ older }</span><span class="unseen">{ "replica" }</span></th>
                        { for table.columns.iter().map(heading) }
                        if table.columns.is_empty() { <th scope="col" class="no-slots">{ "no slots yet" }</th> }
                    </tr>
                </thead>
                <tbody>{ for table.rows.iter().map(|row| replica(&table.columns, row)) }</tbody>
            </table>
            <div class="items" role="group" aria-label={format!("Items of cluster {}", of.group)} tabindex="0">
                { for items }
                if more > 0 { <span class="item">{ format!("and {more} more") }</span> }
            </div>
        </>
    }
}

fn part(rail: &Rail, group: u16) -> Option<&'static str> {
    match (rail.coordinator == group, rail.participant) {
        (true, Some(_)) => Some("coordinator"),
        (false, Some(participant)) if participant == group => Some("participant"),
        _ => None,
    }
}

fn heading(column: &Column) -> Html {
    let told = match column.seq {
        Some(seq) => format!("slot {}, reusing seq {seq}", column.slot),
        None => format!("slot {}", column.slot),
    };
    html! {
        <th scope="col" class={column.is_in_focus.then_some("in-focus")} title={told}
            data-slot={column.slot.to_string()} data-seq={column.seq.map(|seq| seq.to_string())}>
            { column.slot }
            { for column.seq.map(|seq| html! {
                <span class="seq"><span aria-hidden="true">{ format!("↩{seq}") }</span><span class="unseen">{ format!(" reusing seq {seq}") }</span></span>
            }) }
        </th>
    }
}

fn replica(columns: &[Column], row: &Row<'_>) -> Html {
    let cells = row.cells.iter().zip(columns);
    html! {
        <tr data-node={row.node.to_string()}>
            <th scope="row">{ format!("n{}", row.node) }</th>
            { for cells.map(|(cell, column)| entry(row.node, *cell, column)) }
        </tr>
    }
}

fn entry(node: u16, entry: Option<&SlotView>, column: &Column) -> Html {
    let Some(entry) = entry else {
        return html! { <td class={column.is_in_focus.then_some("in-focus")}></td> };
    };
    let standing = match entry.standing {
        SlotStanding::Accepted => "slot-accepted",
        SlotStanding::Chosen => "slot-chosen",
        SlotStanding::Executed => "slot-executed",
    };
    let told = cell_words(node, entry);
    html! {
        <td class={column.is_in_focus.then_some("in-focus")} title={told}
            data-slot={entry.slot.to_string()} data-marker={entry.marker.letter()} data-standing={entry.standing.name()}
            data-ballot={ballot_text(entry.ballot)} data-seq={entry.seq.map(|seq| seq.to_string())}>
            <span class={classes!("cell", standing, tone(entry))}>
                <b>{ entry.marker.letter() }</b><span class="cell-ballot">{ ballot_text(entry.ballot) }</span>
                <span class="unseen">{ entry.standing.name() }</span>
            </span>
        </td>
    }
}

/// Its colour, beside its letter.
fn tone(entry: &SlotView) -> &'static str {
    use phaselab_core::view::SlotMarker::{Abort, Acknowledged, Commit, Noop, Prepare, Transfer};
    match entry.marker {
        Prepare => "cell-p",
        Commit | Transfer => "cell-c",
        Abort => "cell-a",
        Acknowledged | Noop => "cell-n",
    }
}

fn chip(scene: &Scene, group: u16, account: &AccountView) -> Html {
    let is_equal = is_equal(scene, group, account);
    let (text, title) = match is_equal {
        true => (item_text(account), "every replica that is seen agrees"),
        false => (
            item_text(account),
            "not every replica has executed this yet",
        ),
    };
    html! {
        <span class={classes!("item", account.hold.is_some().then_some("item-held"))} {title}
            data-testid={format!("chip-{}", account.item)} data-balance={account.balance.map(|held| held.to_string())}
            data-held={account.hold.as_ref().map(|hold| hold.amount.to_string())} data-equal={is_equal.to_string()}>
            if account.hold.is_some() { <span aria-hidden="true">{ "■ " }</span> }
            { text }
        </span>
    }
}

/// The rail and the sum, beneath the first box.
pub(super) fn between(scene: &Scene, boxes: &[GroupBox]) -> Html {
    let Some(first) = boxes.first() else {
        return html! {};
    };
    let rail = rail(scene);
    html! {
        <div class="between" style={format!("top:{}", percent(first.top + first.height))}>
            { for rail.as_ref().map(track) }
            if rail.is_none() { <p class="rail empty" data-testid="rail" data-stage="">{ "No transfer is logged yet." }</p> }
            { for sum(scene).map(badge) }
        </div>
    }
}

fn track(rail: &Rail) -> Html {
    let way = match rail.participant {
        Some(to) => format!("cluster {} → {to}", rail.coordinator),
        None => format!("within cluster {}", rail.coordinator),
    };
    let reason = match rail.reason.as_str() {
        "" => String::new(),
        reason => format!(": {reason}"),
    };
    html! {
        <div class="rail" role="group" aria-label={format!("Transfer {}", rail.name)} data-testid="rail" data-stage={rail.stage()}>
            <p class="rail-name"><strong>{ &rail.name }</strong>{ format!(" {way}{reason}") }</p>
            <ol class="stations">{ for rail.stations.iter().map(|station| stop(station, rail)) }</ol>
        </div>
    }
}

fn stop(station: &Station, rail: &Rail) -> Html {
    let passed = |is_passed: bool| if is_passed { "passed" } else { "not yet" };
    let here = format!(
        "cluster {} {}",
        rail.coordinator,
        passed(station.coordinator)
    );
    let there = station.participant.zip(rail.participant);
    let there = there.map_or_else(String::new, |(is_passed, group)| {
        format!(", cluster {group} {}", passed(is_passed))
    });
    let lamp = |is_on: bool| html! { <i class={classes!("lamp", is_on.then_some("on"))}></i> };
    html! {
        <li class={classes!("station", station.is_passed().then_some("passed"), (station.name == "A").then_some("abort"))}
            title={format!("{}: {here}{there}", station.meaning)} data-testid={format!("rail-{}", station.name)}
            data-coordinator={station.coordinator.to_string()}
            data-participant={station.participant.map(|is_passed| is_passed.to_string())}>
            <span class="lamps" aria-hidden="true">
                { lamp(station.coordinator) }
                { for station.participant.map(lamp) }
            </span>
            <span>{ station.name }</span>
            <span class="unseen">{ format!(", {here}{there}") }</span>
        </li>
    }
}

fn badge(sum: Sum) -> Html {
    let class = match (sum.is_broken, sum.is_even()) {
        (true, _) => "broken",
        (false, true) => "holds",
        (false, false) => "settling",
    };
    html! {
        <p class={classes!("sum", class)} title={sum.meaning()} data-testid="sum" data-held={sum.held.to_string()}
            data-way={sum.on_its_way.to_string()} data-first={sum.first.to_string()} data-tone={class}>
            { sum.text() }
            if sum.is_broken { <span class="unseen">{ ": money was made or lost" }</span> }
        </p>
    }
}

/// What the signs in the boxes mean.
pub(super) fn legend() -> Html {
    let sample = |class: &'static str, letter: &'static str, text: &'static str| {
        html! {
            <li><span class={classes!("cell", class)} aria-hidden="true"><b>{ letter }</b></span>{ text }</li>
        }
    };
    html! {
        <div class="table" data-testid="cards">
            <h2 class="table-title">{ "In the tables" }</h2>
            <ul class="slot-legend">
                { sample("slot-accepted cell-p", "P", "accepted here") }
                { sample("slot-chosen cell-p", "P", "chosen by a majority") }
                { sample("slot-executed cell-p", "P", "executed: the item is held") }
                { sample("slot-executed cell-c", "C", "commit") }
                { sample("slot-executed cell-c", "T", "transfer within a cluster") }
                { sample("slot-executed cell-a", "A", "abort") }
                { sample("slot-executed cell-n", "✓", "acknowledged") }
                <li><span class="crown" aria-hidden="true">{ "♛" }</span>{ "leads by the ballot in the cells" }</li>
                <li><span class="seq" aria-hidden="true">{ "↩2" }</span>{ "reuses seq 2, the slot of its P" }</li>
            </ul>
        </div>
    }
}
