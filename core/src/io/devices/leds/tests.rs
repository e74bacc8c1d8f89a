//! Lights in a made-up sysfs. In: folders and files as a kernel lays them out. Out: what was written where. What
//! reaches a device is shown by the virtual machine (`tests/vm`).

use std::os::unix::fs::symlink;

use super::*;
use crate::device::identity::tests::device;
use crate::io::devices::sysfs::tests::{plug, unplug};

/// A wireless hub with four dark lights and a hidraw node whose number is that of `/dev/null`.
pub(crate) fn plug_hub(root: &Path, identity: &Identity) {
    plug(&root.join("sys"), identity);
    let hid = root.join(format!("sys/devices/0003:054C:1000.{:04X}", identity.instance));
    for light in 1..=4 {
        let led = hid.join(format!("leds/0003:054C:1000.{:04X}::buzz{light}", identity.instance));
        fs::create_dir_all(&led).unwrap();
        fs::write(led.join("brightness"), "0\n").unwrap();
        fs::write(led.join("max_brightness"), "1\n").unwrap();
    }
    fs::create_dir_all(hid.join("hidraw/hidraw0")).unwrap();
    fs::write(hid.join("hidraw/hidraw0/dev"), "1:3\n").unwrap();
    symlink(&hid, root.join(format!("sys/devices/input{}/device", identity.instance))).unwrap();
    fs::create_dir_all(root.join("dev/input")).unwrap();
    let _ = symlink("/dev/null", root.join("dev/hidraw0"));
}

/// The brightness of its lights, as text.
pub(crate) fn brightness(root: &Path, identity: &Identity) -> String {
    let hid = format!("0003:054C:1000.{:04X}", identity.instance);
    let leds = root.join("sys/devices").join(&hid).join("leds");
    let read = |light| fs::read_to_string(leds.join(format!("{hid}::buzz{light}/brightness"))).unwrap();
    (1..=4).map(|light| read(light).trim().to_owned()).collect()
}

fn hub() -> Identity {
    device(7, (0x054c, 0x1000), "usb-0-1.2/input0", &[0x2c0, 0x2c5, 0x2ca, 0x2cf])
}

fn find(root: &Path, identity: &Identity) -> Leds {
    Leds::find(&root.join("sys"), Some(&root.join("dev/input")), identity)
}

#[test]
fn the_light_that_is_meant_is_written() {
    let root = tempfile::tempdir().unwrap();
    plug_hub(root.path(), &hub());
    let leds = find(root.path(), &hub());
    for (light, on, want) in [(2, true, "0100"), (4, true, "0101"), (2, false, "0001"), (2, false, "0001")] {
        leds.write(light, on).unwrap();
        assert_eq!(brightness(root.path(), &hub()), want);
    }
    assert_eq!([1, 4, 5].map(|light| leds.is_lit(light)), [Some(false), Some(true), None]);
    assert_eq!(leds.check(4).ok(), Some(()));
    for light in [0, 5] {
        let error = leds.write(light, true).unwrap_err().to_string();
        assert!(error.contains(&format!("no light {light}: it has 1, 2, 3, 4")), "{error}");
    }
    let closed = Leds::find(&root.path().join("sys"), None, &hub());
    closed.write(1, true).unwrap();
    assert_eq!(brightness(root.path(), &hub()), "1001", "also by who opens no node");
}

#[test]
fn full_brightness_is_the_leds_own() {
    let root = tempfile::tempdir().unwrap();
    plug_hub(root.path(), &hub());
    let leds = root.path().join("sys/devices/0003:054C:1000.0007/leds");
    fs::write(leds.join("0003:054C:1000.0007::buzz3/max_brightness"), "255\n").unwrap();
    find(root.path(), &hub()).write(3, true).unwrap();
    assert_eq!(brightness(root.path(), &hub()), "002550");
}

#[test]
fn a_bank_goes_to_the_right_hidraw_node_only() {
    let root = tempfile::tempdir().unwrap();
    plug_hub(root.path(), &hub());
    let leds = find(root.path(), &hub());
    leds.write_bank().unwrap();
    let dev = root.path().join("sys/devices/0003:054C:1000.0007/hidraw/hidraw0/dev");
    fs::write(&dev, "1:5\n").unwrap();
    assert!(matches!(leds.write_bank(), Err(LightError::Gone { .. })), "another device has the name");
    fs::remove_dir_all(dev.parent().unwrap()).unwrap();
    assert!(matches!(leds.write_bank(), Err(LightError::Gone { .. })), "it was unplugged meanwhile");
    let error = find(root.path(), &hub()).write_bank().unwrap_err();
    assert!(matches!(error, LightError::NoHidraw { .. }), "{error}");
}

#[test]
fn a_bank_is_the_report_that_hid_sony_would_send() {
    for (lit, want) in [
        ([false; 4], [0, 0, 0, 0, 0, 0, 0, 0]),
        ([true, false, false, false], [0, 0, 0xff, 0, 0, 0, 0, 0]),
        ([false, false, true, true], [0, 0, 0, 0, 0xff, 0xff, 0, 0]),
    ] {
        assert_eq!(report(lit.into_iter()), want);
    }
    assert_eq!(report(std::iter::repeat(true)), [0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0]);
}

#[test]
fn who_took_the_place_of_a_device_is_not_lit() {
    let root = tempfile::tempdir().unwrap();
    plug_hub(root.path(), &hub());
    let leds = find(root.path(), &hub());
    unplug(&root.path().join("sys"), &hub());
    fs::remove_dir_all(root.path().join("sys/devices/0003:054C:1000.0007")).unwrap();
    let next = Identity { instance: 8, ..hub() };
    plug_hub(root.path(), &next);
    assert!(matches!(leds.write(1, true), Err(LightError::Gone { .. })));
    assert_eq!(brightness(root.path(), &next), "0000");
    assert_eq!(find(root.path(), &hub()).lights, BTreeMap::new(), "the same name, another plugging-in");
    assert_eq!(find(root.path(), &Identity { node: "event9".to_owned(), ..hub() }).lights, BTreeMap::new());
}

#[test]
fn a_keyboards_lights_count_up_by_code() {
    let root = tempfile::tempdir().unwrap();
    let keyboard = device(3, (7, 7), "usb-0-1/input0", &[28]);
    plug(&root.path().join("sys"), &keyboard);
    let input = root.path().join("sys/devices/input3");
    fs::write(input.join("capabilities/led"), "5\n").unwrap();
    let closed = |root: &Path| Leds::find(&root.join("sys"), None, &keyboard);
    assert_eq!(closed(root.path()).lights, BTreeMap::new(), "no LED class, and no node may be opened");
    for name in ["scrolllock", "numlock", "unheard-of"] {
        fs::create_dir_all(input.join(format!("input3::{name}"))).unwrap();
        fs::write(input.join(format!("input3::{name}/brightness")), "0").unwrap();
    }
    closed(root.path()).write(2, true).unwrap();
    assert_eq!(fs::read_to_string(input.join("input3::scrolllock/brightness")).unwrap(), "1");

    // Through the node: its number is that of `/dev/null` here.
    fs::create_dir_all(root.path().join("dev/input")).unwrap();
    symlink("/dev/null", root.path().join("dev/input/event3")).unwrap();
    let leds = find(root.path(), &keyboard);
    let codes: Vec<_> = leds.lights.values().map(|way| matches!(way, Way::Event(_, 0 | 2))).collect();
    assert_eq!(codes, [true, true]);
    assert!(matches!(leds.write(1, true), Err(LightError::Gone { .. })), "13:67 is expected");
    fs::write(input.join("event3/dev"), "1:3\n").unwrap();
    leds.write(1, true).unwrap();
    assert_eq!(leds.is_lit(1), None);
}

#[test]
fn an_event_has_the_form_of_the_header() {
    let event = input_event(EV_LED, 1, 1);
    assert_eq!(event.len(), 24);
    assert_eq!(event[16..], [0x11, 0, 1, 0, 1, 0, 0, 0]);
}

#[test]
fn errors_name_their_cure() {
    for (errno, cure) in [
        (Errno::ACCESS, "belongs to"),
        (Errno::PERM, "DeviceAllow"),
        (Errno::ROFS, "ReadWritePaths"),
        (Errno::NODEV, "plug it in again"),
        (Errno::NOENT, "plug it in again"),
        (Errno::IO, "plug it in again"),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("brightness");
        fs::write(&path, "").unwrap();
        let text = LightError::new(&path, errno.into()).to_string();
        assert!(text.contains(cure) && text.contains("brightness"), "{text}");
    }
}
