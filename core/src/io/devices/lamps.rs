//! The lights of all devices, on the devices thread. In: which slot has which device, what is wanted of its lights, the
//! time. Out: lights that are written, and a sentence where that fails. Guarantee: nothing is due while no light blinks
//! and no open device must be kept awake; a failure is told once until it is another one or somebody asks again.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::leds::{Leds, LightError};
use crate::device::claim::SlotId;
use crate::device::identity::Identity;
use crate::device::lights::{Bank, Light, Write};
use crate::device::profile::{light_of, recognise};
use crate::event::{Buzzer, DeviceId};
use crate::press::keys::KeyMap;
use crate::quote::kernel_words;
use crate::time::KernelTime;

/// The lights of one device.
#[derive(Debug)]
pub struct Lamp {
    bank: Bank,
    leds: Leds,
}

/// The lights of every slot's device.
#[derive(Debug)]
pub struct Lamps {
    sysfs_root: PathBuf,
    input_dir: PathBuf,
    slots: BTreeMap<SlotId, Entry>,
}

#[derive(Debug)]
struct Entry {
    identity: Identity,
    lamp: Lamp,
    /// Its name in the ring while it is open.
    device: Option<DeviceId>,
    told: Option<String>,
}

impl Lamp {
    /// Lights that nobody has wanted anything of.
    pub fn new(leds: Leds) -> Self {
        Self { bank: Bank::default(), leds }
    }

    /// Takes a request and carries it out as far as it is due.
    ///
    /// # Errors
    /// [`LightError`]
    pub fn light(&mut self, light: u16, request: Light, now: KernelTime) -> Result<(), LightError> {
        self.leds.check(light)?;
        if let Some(on) = self.leds.is_lit(light) {
            self.bank.handle_seen(light, on);
        }
        self.bank.handle_light(light, request, now);
        self.write()
    }

    /// Carries out what is due.
    ///
    /// # Errors
    /// The last [`LightError`]; what else was due was tried.
    pub fn handle_timeout(&mut self, now: KernelTime) -> Result<(), LightError> {
        self.bank.handle_timeout(now);
        self.write()
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<KernelTime> {
        self.bank.poll_timeout()
    }

    /// Puts back what blinks.
    ///
    /// # Errors
    /// [`LightError`]
    pub fn stop(&mut self) -> Result<(), LightError> {
        self.bank.handle_stop();
        self.write()
    }

    fn write(&mut self) -> Result<(), LightError> {
        let mut done = Ok(());
        while let Some(write) = self.bank.poll_write() {
            let wrote = match write {
                Write::Light { light, on } => self.leds.write(light, on),
                Write::Bank => self.leds.write_bank(),
            };
            done = wrote.and(done);
        }
        done
    }
}

impl Lamps {
    /// No lights yet.
    pub const fn new(sysfs_root: PathBuf, input_dir: PathBuf) -> Self {
        Self { sysfs_root, input_dir, slots: BTreeMap::new() }
    }

    /// A slot's device was opened. If its handsets would fall asleep, they are kept awake from now on.
    pub fn opened(&mut self, slot: SlotId, device: DeviceId, identity: &Identity, now: KernelTime) {
        if recognise(identity).is_some_and(|profile| profile.needs_keep_awake()) {
            let entry = self.entry(slot, identity);
            entry.device = Some(device);
            entry.lamp.bank.keep_awake(now);
        }
    }

    /// A device is open no longer.
    pub fn closed(&mut self, device: DeviceId) {
        if let Some(entry) = self.slots.values_mut().find(|entry| entry.device == Some(device)) {
            entry.device = None;
            entry.lamp.bank.let_sleep();
        }
    }

    /// Somebody wants something of a light. What keeps it from being done is the answer.
    pub fn light(
        &mut self,
        slot: SlotId,
        (identity, keys): (&Identity, &KeyMap),
        (buzzer, request): (Buzzer, Light),
        now: KernelTime,
    ) -> Option<String> {
        let Some(light) = light_of(identity, keys, buzzer) else {
            return Some(format!("{} has no buzzer {buzzer}, so no light for it", identity.describe()));
        };
        let entry = self.entry(slot, identity);
        entry.told = None;
        let done = entry.lamp.light(light, request, now);
        entry.tell(done)
    }

    /// When to call [`Self::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<KernelTime> {
        self.slots.values().filter_map(|entry| entry.lamp.poll_timeout()).min()
    }

    /// Carries out what is due; gives what a person should know.
    pub fn handle_timeout(&mut self, now: KernelTime) -> Vec<(SlotId, String)> {
        let mut troubles = Vec::new();
        let (sysfs_root, input_dir) = (&self.sysfs_root, &self.input_dir);
        self.slots.retain(|slot, entry| {
            if entry.lamp.poll_timeout().is_none_or(|due| due > now) {
                return true;
            }
            if entry.device.is_some() && !entry.lamp.leds.is_whole() {
                let leds = Leds::find(sysfs_root, Some(input_dir), &entry.identity);
                // Of a hub that left nothing is found; what is known of it then tells that it is gone.
                if leds.has_bank() {
                    entry.lamp.leds = leds;
                }
            }
            let done = entry.lamp.handle_timeout(now);
            // That it left is told by others, and nothing of its lights is due any more.
            let is_gone = matches!(done, Err(LightError::Gone { .. }));
            if !is_gone {
                troubles.extend(entry.tell(done).map(|text| (*slot, text)));
            }
            !is_gone
        });
        troubles
    }

    /// Puts back what blinks.
    pub fn stop(&mut self) {
        for entry in self.slots.values_mut() {
            let _ = entry.lamp.stop();
        }
    }

    /// What is kept of this device, its lights looked for anew: a driver may have added them since. What was kept of
    /// another device that sat there is of no use any more.
    fn entry(&mut self, slot: SlotId, identity: &Identity) -> &mut Entry {
        let leds = Leds::find(&self.sysfs_root, Some(&self.input_dir), identity);
        let new = || Entry {
            identity: identity.clone(),
            lamp: Lamp::new(Leds::default()),
            device: None,
            told: None,
        };
        let entry = self.slots.entry(slot).or_insert_with(new);
        if !entry.identity.is_same_instance(identity) {
            *entry = new();
        }
        entry.lamp.leds = leds;
        entry
    }
}

impl Entry {
    /// The text of a failure that was not told yet.
    fn tell(&mut self, done: Result<(), LightError>) -> Option<String> {
        let text = done.err().map(|error| kernel_words(&error));
        let is_new = text != self.told;
        self.told.clone_from(&text);
        text.filter(|_| is_new)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::device::identity::tests::device;
    use crate::device::lights::KEEP_AWAKE;
    use crate::io::devices::leds::tests::{brightness, plug_hub};
    use crate::time::Micros;
    use std::fs;
    use std::os::unix::fs::symlink;

    const SLOT: SlotId = SlotId::new(3);
    const DEVICE: DeviceId = DeviceId::new(40);
    const WIRELESS: u16 = 0x1000;

    /// A hub on a machine of the test's own, with a clock that only the test moves.
    struct World {
        root: tempfile::TempDir,
        hub: Identity,
        keys: KeyMap,
        lamps: Lamps,
        now: KernelTime,
    }

    impl World {
        fn new(product: u16) -> Self {
            let root = tempfile::tempdir().unwrap();
            let hub = device(7, (0x054c, product), "usb-0-1/input0", &[0x2c0, 0x2c5, 0x2ca, 0x2cf]);
            plug_hub(root.path(), &hub);
            let lamps = Lamps::new(root.path().join("sys"), root.path().join("dev/input"));
            let keys = recognise(&hub).unwrap().keys(&hub);
            Self { root, hub, keys, lamps, now: KernelTime::from_us(1_000_000) }
        }

        fn open(&mut self) {
            self.lamps.opened(SLOT, DEVICE, &self.hub, self.now);
        }

        fn want(&mut self, buzzer: u16, request: Light) -> Option<String> {
            self.lamps.light(SLOT, (&self.hub, &self.keys), (Buzzer(buzzer), request), self.now)
        }

        /// What is told when the next date comes, and how long it took.
        fn sleep(&mut self) -> (u64, Vec<String>) {
            let due = self.lamps.poll_timeout().expect("something is due");
            let waited = due.since(self.now).as_us() / 1000;
            self.now = due;
            (waited, self.lamps.handle_timeout(due).into_iter().map(|(_, text)| text).collect())
        }

        fn brightness(&self) -> String {
            brightness(self.root.path(), &self.hub)
        }
    }

    #[test]
    fn only_an_open_wireless_hub_is_kept_awake() {
        let mut wired = World::new(2);
        wired.open();
        assert_eq!(wired.lamps.poll_timeout(), None);
        let mut wireless = World::new(WIRELESS);
        assert_eq!(wireless.want(1, Light::Set), None);
        assert_eq!(wireless.lamps.poll_timeout(), None, "not open");
        wireless.open();
        let every = KEEP_AWAKE.as_us() / 1000;
        assert_eq!([0, 1, 2].map(|_| wireless.sleep()), [(250, vec![]), (every, vec![]), (every, vec![])]);
        wireless.lamps.closed(DeviceId::new(41));
        assert!(wireless.lamps.poll_timeout().is_some(), "another device");
        wireless.lamps.closed(DEVICE);
        assert_eq!(wireless.lamps.poll_timeout(), None);
    }

    #[test]
    fn lights_go_on_blink_and_are_put_back() {
        let mut world = World::new(2);
        assert_eq!((world.want(3, Light::Set), world.brightness().as_str()), (None, "0010"));
        let blink = Light::Blink { on_us: Micros::from_ms(100), off_us: Micros::from_ms(200), times: 2 };
        assert_eq!((world.want(1, blink), world.brightness().as_str()), (None, "1010"));
        for (wait, want) in [(100, "0010"), (200, "1010"), (100, "0010")] {
            assert_eq!((world.sleep().0, world.brightness().as_str()), (wait, want));
        }
        assert_eq!(world.lamps.poll_timeout(), None);
        world.want(3, blink);
        world.sleep();
        assert_eq!(world.brightness(), "0000");
        world.lamps.stop();
        assert_eq!(world.brightness(), "0010");
    }

    #[test]
    fn what_cannot_be_lit_says_why() {
        let mut world = World::new(2);
        assert!(world.want(9, Light::Set).unwrap().contains("has no buzzer 9"));
        let button = device(8, (7, 7), "usb-0-2/input0", &[28]);
        let keys = crate::device::profile::every_key(&button.keys);
        let answer = world.lamps.light(SLOT, (&button, &keys), (Buzzer(1), Light::Set), world.now);
        assert!(answer.unwrap().contains("no light 1: the kernel shows no light of this device"));
    }

    #[test]
    fn a_failure_is_told_once_and_tried_again() {
        let mut world = World::new(WIRELESS);
        let node = world.root.path().join("dev/hidraw0");
        fs::remove_file(&node).unwrap();
        world.open();
        let (_, told) = world.sleep();
        assert!(
            told.len() == 1 && told[0].contains("hidraw0 does not exist, though the kernel has"),
            "{told:?}"
        );
        assert_eq!(world.sleep(), (2000, vec![]), "told");
        symlink("/dev/null", &node).unwrap();
        assert_eq!(world.sleep(), (2000, vec![]), "it works");
        fs::remove_file(&node).unwrap();
        assert_eq!(world.sleep().1.len(), 1, "it is news again");
    }

    #[test]
    fn a_driver_may_add_its_nodes_late() {
        let mut world = World::new(WIRELESS);
        let hidraw = world.root.path().join("sys/devices/0003:054C:1000.0007/hidraw");
        let away = hidraw.with_file_name("later");
        fs::rename(&hidraw, &away).unwrap();
        world.open();
        fs::rename(&away, &hidraw).unwrap();
        assert_eq!(world.sleep(), (250, vec![]));
    }

    #[test]
    fn a_hub_that_left_is_not_written_any_more() {
        let mut world = World::new(WIRELESS);
        world.open();
        world.sleep();
        fs::remove_dir_all(world.root.path().join("sys/devices/0003:054C:1000.0007")).unwrap();
        assert_eq!(world.sleep(), (2000, vec![]), "others tell that");
        assert_eq!(world.lamps.poll_timeout(), None);
        let back = Identity { instance: 8, ..world.hub.clone() };
        fs::remove_file(world.root.path().join("sys/class/input/event7")).unwrap();
        plug_hub(world.root.path(), &back);
        world.hub = back;
        world.open();
        assert_eq!(world.sleep(), (250, vec![]));
        assert_eq!(world.sleep(), (2000, vec![]));
    }
}
