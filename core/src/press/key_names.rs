//! Names of keys that the `evdev` crate does not have. In: a name or a code. Out: the other. Guarantee: with
//! [`crate::press::keys`] every name of `include/uapi/linux/input-event-codes.h` is known, second names included.

/// Second names of one code; the first name is the one that is shown.
const ALIASES: &[(&str, u16)] = &[
    ("KEY_HANGUEL", 122),
    ("KEY_SCREENLOCK", 152),
    ("KEY_COFFEE", 152),
    ("KEY_DASHBOARD", 204),
    ("KEY_ALL_APPLICATIONS", 204),
    ("KEY_BRIGHTNESS_ZERO", 244),
    ("KEY_BRIGHTNESS_AUTO", 244),
    ("KEY_WIMAX", 246),
    ("KEY_WWAN", 246),
    ("KEY_MIN_INTERESTING", 113),
    ("KEY_ZOOM", 0x174),
    ("KEY_FULL_SCREEN", 0x174),
    ("KEY_SCREEN", 0x177),
    ("KEY_ASPECT_RATIO", 0x177),
    ("KEY_BRIGHTNESS_TOGGLE", 431),
    ("KEY_DISPLAYTOGGLE", 431),
    ("KEY_ROTATE_DISPLAY", 153),
    ("KEY_DIRECTION", 153),
    ("KEY_MAX", 0x2ff),
    ("BTN_MISC", 0x100),
    ("BTN_MOUSE", 0x110),
    ("BTN_JOYSTICK", 0x120),
    ("BTN_GAMEPAD", 0x130),
    ("BTN_A", 0x130),
    ("BTN_B", 0x131),
    ("BTN_X", 0x133),
    ("BTN_Y", 0x134),
    ("BTN_DIGI", 0x140),
    ("BTN_WHEEL", 0x150),
    ("BTN_TRIGGER_HAPPY", 0x2c0),
];

/// Codes that are younger than the crate.
const YOUNGER: &[(&str, u16)] = &[
    ("BTN_STYLUS3", 0x149),
    ("KEY_NOTIFICATION_CENTER", 0x1bc),
    ("KEY_PICKUP_PHONE", 0x1bd),
    ("KEY_HANGUP_PHONE", 0x1be),
    ("KEY_LINK_PHONE", 0x1bf),
    ("KEY_FN_RIGHT_SHIFT", 0x1e5),
    ("BTN_GRIPL", 0x224),
    ("BTN_GRIPR", 0x225),
    ("BTN_GRIPL2", 0x226),
    ("BTN_GRIPR2", 0x227),
    ("KEY_ROTATE_LOCK_TOGGLE", 0x231),
    ("KEY_REFRESH_RATE_TOGGLE", 0x232),
    ("KEY_EMOJI_PICKER", 0x249),
    ("KEY_DICTATE", 0x24a),
    ("KEY_CAMERA_ACCESS_ENABLE", 0x24b),
    ("KEY_CAMERA_ACCESS_DISABLE", 0x24c),
    ("KEY_CAMERA_ACCESS_TOGGLE", 0x24d),
    ("KEY_ACCESSIBILITY", 0x24e),
    ("KEY_DO_NOT_DISTURB", 0x24f),
    ("KEY_EPRIVACY_SCREEN_ON", 0x252),
    ("KEY_EPRIVACY_SCREEN_OFF", 0x253),
    ("KEY_ACTION_ON_SELECTION", 0x254),
    ("KEY_CONTEXTUAL_INSERT", 0x255),
    ("KEY_CONTEXTUAL_QUERY", 0x256),
    ("KEY_NEXT_ELEMENT", 0x27b),
    ("KEY_PREVIOUS_ELEMENT", 0x27c),
    ("KEY_AUTOPILOT_ENGAGE_TOGGLE", 0x27d),
    ("KEY_MARK_WAYPOINT", 0x27e),
    ("KEY_SOS", 0x27f),
    ("KEY_NAV_CHART", 0x280),
    ("KEY_FISHING_CHART", 0x281),
    ("KEY_SINGLE_RANGE_RADAR", 0x282),
    ("KEY_DUAL_RANGE_RADAR", 0x283),
    ("KEY_RADAR_OVERLAY", 0x284),
    ("KEY_TRADITIONAL_SONAR", 0x285),
    ("KEY_CLEARVU_SONAR", 0x286),
    ("KEY_SIDEVU_SONAR", 0x287),
    ("KEY_NAV_INFO", 0x288),
    ("KEY_BRIGHTNESS_MENU", 0x289),
    ("KEY_MACRO_RECORD_START", 0x2b0),
    ("KEY_MACRO_RECORD_STOP", 0x2b1),
    ("KEY_MACRO_PRESET_CYCLE", 0x2b2),
    ("KEY_MACRO_PRESET1", 0x2b3),
    ("KEY_MACRO_PRESET2", 0x2b4),
    ("KEY_MACRO_PRESET3", 0x2b5),
    ("KEY_KBD_LCD_MENU1", 0x2b8),
    ("KEY_KBD_LCD_MENU2", 0x2b9),
    ("KEY_KBD_LCD_MENU3", 0x2ba),
    ("KEY_KBD_LCD_MENU4", 0x2bb),
    ("KEY_KBD_LCD_MENU5", 0x2bc),
    ("KEY_PERFORMANCE", 0x2bd),
];

/// `KEY_MACRO1` to `KEY_MACRO30`.
const MACROS: std::ops::RangeInclusive<u16> = 0x290..=0x2ad;
const MACRO: &str = "KEY_MACRO";

/// The code of a name that the crate does not have.
pub(crate) fn code(name: &str) -> Option<u16> {
    let listed = ALIASES.iter().chain(YOUNGER).find(|(own, _)| *own == name).map(|(_, code)| *code);
    listed.or_else(|| MACROS.into_iter().find(|code| name_of_macro(*code) == name))
}

/// The name of a code that the crate does not name.
pub(crate) fn name(code: u16) -> Option<String> {
    if MACROS.contains(&code) {
        return Some(name_of_macro(code));
    }
    YOUNGER.iter().find(|(_, own)| *own == code).map(|(name, _)| (*name).to_owned())
}

/// Every name that this table has.
pub(crate) fn all() -> impl Iterator<Item = String> {
    let listed = ALIASES.iter().chain(YOUNGER).map(|(name, _)| (*name).to_owned());
    listed.chain(MACROS.map(name_of_macro))
}

fn name_of_macro(code: u16) -> String {
    format!("{MACRO}{}", code - MACROS.start() + 1)
}
