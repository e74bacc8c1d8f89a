//! The test program of the virtual machine: `vm-guest BUZZERD [NAME,...]`, started by `tests/vm/run`.
//!
//! Enters: the built `buzzerd`, and the beginnings of the names of the cases to run (all, if none is given).
//! Leaves: `ok NAME (ms)` or `not ok NAME (ms): why`, a count, and the exit status 0 if all passed, else 1.
//! Guarantees: each case has its own devices, daemon and log, so that one failure explains itself, and leaves no file: the
//! log's reserved segments would fill the guest's memory. The cases `kernel_*` come first and need no `buzzerd`.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "it reports to who runs it")]

mod client;
mod daemon;
mod deadline;
mod disk;
mod fair;
mod faults;
mod gadget;
mod hotplug;
mod kernel;
mod lights;
mod load;
mod measure;
mod naive;
mod node;
mod odd;
mod opening;
mod order;
mod pair;
mod powercut;
mod presses;
mod promise;
mod records;
mod restart;
mod udev;
mod uhid;
mod uinput;

use std::process::ExitCode;

use deadline::Outcome;

type Case = (&'static str, fn() -> Outcome);

#[rustfmt::skip]
const CASES: &[Case] = &[
    ("kernel_uinput_presses_arrive", kernel::uinput_presses_arrive),
    ("kernel_hid_sony_has_the_hub", kernel::hid_sony_has_the_hub),
    ("kernel_keyboard_repeats", kernel::keyboard_repeats),
    ("kernel_replug_reuses_the_node", kernel::replug_reuses_the_node),
    ("kernel_full_queue_is_dropped", kernel::full_queue_is_dropped),
    ("kernel_clock_change_leaves_its_time", kernel::clock_change_leaves_its_time),
    ("kernel_first_usb_open_sleeps", opening::first_usb_open_sleeps),
    ("kernel_equal_light_is_not_sent", lights::equal_light_is_not_sent),
    ("buzz_hub_gives_four_reds", presses::buzz_hub_gives_four_reds),
    ("reds_of_one_report_tie", presses::reds_of_one_report_tie),
    ("presses_come_in_order", presses::presses_come_in_order),
    ("key_held_at_connect_waits", presses::key_held_at_connect_waits),
    ("autorepeat_is_one_press", presses::autorepeat_is_one_press),
    ("repeat_values_are_no_press", presses::repeat_values_are_no_press),
    ("bounce_is_one_press", presses::bounce_is_one_press),
    ("overflow_is_told_and_recovered", presses::overflow_is_told_and_recovered),
    ("unplug_and_replug", hotplug::unplug_and_replug),
    ("hub_unplug_and_replug", hotplug::hub_unplug_and_replug),
    ("unplug_with_unread_press_is_told", hotplug::unplug_with_unread_press_is_told),
    ("pool_loses_its_devices_singly", hotplug::pool_loses_its_devices_singly),
    ("forbidden_device_names_the_cure", hotplug::forbidden_device_names_the_cure),
    ("devices_are_listed_while_open", hotplug::devices_are_listed_while_open),
    ("twins_are_ambiguous", hotplug::twins_are_ambiguous),
    ("pedal_is_read_where_it_reports", odd::pedal_is_read_where_it_reports),
    ("players_on_one_plug_share_equal_entries", odd::players_on_one_plug_share_equal_entries),
    ("radio_buttons_are_told_by_their_addresses", odd::radio_buttons_are_told_by_their_addresses),
    ("large_pads_have_all_their_buttons", odd::large_pads_have_all_their_buttons),
    ("number_pad_buzzes_with_its_key", odd::number_pad_buzzes_with_its_key),
    ("udev_told_rule_gives_node_and_light", udev::told_rule_gives_node_and_light),
    ("udev_told_rules_keep_the_desktop_away", udev::told_rules_keep_the_desktop_away),
    ("udev_deployed_rules_light_the_lights", udev::deployed_rules_light_the_lights),
    ("measure_finds_the_period", measure::finds_the_period),
    ("measure_leaves_a_busy_device", measure::leaves_a_busy_device),
    ("measure_tells_of_an_unplug", measure::tells_of_an_unplug),
    ("pair_two_devices", pair::two_devices_get_the_second_delay),
    ("pair_one_device", pair::one_device_gets_a_scan_time),
    ("lights_identify_blinks_one_handset", lights::identify_blinks_one_handset),
    ("lights_that_are_not_there_are_named", lights::not_there_is_named),
    ("lights_may_be_forbidden", lights::may_be_forbidden),
    ("lights_wireless_is_kept_awake", lights::wireless_is_kept_awake),
    ("two_cpus_one_pool", order::two_cpus_one_pool),
    ("two_cpus_two_pools", order::two_cpus_two_pools),
    ("stamps_decide_not_reading", order::stamps_decide_not_reading),
    ("stale_stamp_while_awake", faults::stale_stamp_while_awake),
    ("stale_stamp_after_idle_behind_a_rival", faults::stale_stamp_after_idle_behind_a_rival),
    ("stale_stamp_after_idle_before_a_rival", faults::stale_stamp_after_idle_before_a_rival),
    ("stopped_reader_is_told", faults::stopped_reader_is_told),
    ("starved_reader_is_told", faults::starved_reader_is_told),
    ("late_press_is_told_next", faults::late_press_is_told_next),
    ("unproved_button_is_suspect", faults::unproved_button_is_suspect),
    ("split_report_is_one_tie", faults::split_report_is_one_tie),
    ("opening_leaves_no_stale_stamp", opening::leaves_no_stale_stamp),
    ("opening_delays_no_other_device", opening::delays_no_other_device),
    ("report_during_opening_leaves_a_suspect", opening::report_during_it_leaves_a_suspect),
    ("usb_device_tells_its_interval", opening::usb_device_tells_its_interval),
    ("unnamed_device_is_read_as_well", order::unnamed_device_is_read_as_well),
    ("no_handset_is_favoured", fair::no_handset_is_favoured),
    ("fair_idle", fair::idle),
    ("fair_busy", fair::busy),
    ("power_cut_keeps_what_was_durable", powercut::keeps_what_was_durable_without_the_journal),
    ("power_cut_with_the_journal_on_the_disk", powercut::keeps_what_was_durable_with_the_journal),
    ("power_cut_at_a_new_segment", powercut::keeps_a_new_segment),
    ("restart_reconnects", hotplug::restart_reconnects),
    ("restart_keeps_what_is_pressed", restart::keeps_what_is_pressed),
    ("restart_with_too_many_presses_is_a_gap", restart::too_many_presses_are_a_gap),
    ("restart_after_a_change_opens_anew", restart::change_opens_anew),
    ("sigterm_closes_politely", hotplug::sigterm_closes_politely),
];

fn main() -> ExitCode {
    let only = std::env::args().nth(2).unwrap_or_default();
    let (mut passed, mut failed) = (0, 0);
    for (name, case) in CASES.iter().filter(|(name, _)| only.split(',').any(|start| name.starts_with(start)))
    {
        let started = uinput::now_us();
        let outcome = case();
        let outcome = outcome.and(daemon::clear());
        let took_ms = (uinput::now_us() - started) / 1_000;
        match outcome {
            Ok(()) => {
                passed += 1;
                println!("ok {name} ({took_ms} ms)");
            }
            Err(why) => {
                failed += 1;
                println!("not ok {name} ({took_ms} ms): {why}");
            }
        }
    }
    println!("{passed} passed, {failed} failed");
    // A name that fits nothing must not look like success.
    if failed == 0 && passed > 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
