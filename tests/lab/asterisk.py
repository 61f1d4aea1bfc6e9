"""One running Asterisk: its configuration, start, stop, crash, and what it left behind.

The account of the connector and the pieces of dialplan are the files we ship, included unchanged but for the password.
The dialplan of the test PBX itself is dialplan.py; chroots come from chroots.py.
"""

import shutil
import signal

from . import chroots, dialplan, processes
from .ami import Ami
from .places import CONF

SECRET = "lab-Secret-of-the-connector-0123456789"
ALL_RIGHTS = ("lab", "lab-all-rights")

# Not needed for calls, slow to load, or in the way of another Asterisk on this machine.
_LEFT_OUT = """chan_sip chan_iax2 chan_mgcp chan_skinny chan_unistim chan_dahdi chan_alsa chan_oss chan_console chan_motif chan_mobile
chan_ooh323 pbx_dundi pbx_ael pbx_lua pbx_realtime res_phoneprov res_pjsip_phoneprov_provider res_xmpp res_snmp res_calendar
res_calendar_caldav res_calendar_ews res_calendar_exchange res_calendar_icalendar res_config_ldap res_config_pgsql res_config_mysql
res_config_odbc res_odbc res_odbc_transaction cdr_pgsql cdr_odbc cdr_adaptive_odbc cdr_mysql cdr_radius cdr_tds cdr_sqlite3_custom cdr_syslog
cdr_custom cel_pgsql cel_odbc cel_radius cel_tds cel_sqlite3_custom cel_custom cel_manager app_alarmreceiver app_festival app_adsiprog app_getcpeid
app_jack app_meetme app_minivm app_voicemail_imap app_voicemail_odbc app_fax res_fax res_fax_spandsp res_smdi res_hep res_hep_pjsip
res_hep_rtcp res_statsd res_ari res_ari_applications res_ari_asterisk res_ari_bridges res_ari_channels res_ari_device_states
res_ari_endpoints res_ari_events res_ari_mailboxes res_ari_playbacks res_ari_recordings res_ari_sounds res_ari_model
res_stir_shaken res_pjsip_stir_shaken res_aeap res_speech_aeap res_geolocation res_pjsip_geolocation res_resolver_unbound
func_odbc app_stasis res_stasis_broadcast app_stasis_broadcast res_prometheus res_websocket_client chan_websocket res_audiosocket app_audiosocket chan_audiosocket res_corosync""".split()


class Asterisk:
    """Start with `start()`. Files are in `folder` on the host, which Asterisk sees as `/lab/N`."""

    def __init__(self, version, lane, log_folder, extra_dialplan="", timestampevents=False):
        self.version, self.lane = version, lane
        self.chroot = chroots.asterisk(version)
        self.inside = f"/lab/{lane.n}"
        self.folder = chroots.inside(self.chroot, self.inside)
        self.log_folder = log_folder
        self.child = None
        self.ami_address = (lane.pbx, 5038)
        if self.folder.exists():
            shutil.rmtree(self.folder)
        self._configure(extra_dialplan, timestampevents)

    @property
    def recordings(self):
        return self.folder / "spool" / "monitor"

    def master_csv(self):
        return self.folder / "log" / "cdr-csv" / "Master.csv"

    def messages(self):
        return self.folder / "log" / "messages"

    # -- configuration ------------------------------------------------------------------------------------------------

    def _configure(self, extra_dialplan, timestampevents):
        etc = self.folder / "etc"
        shutil.copytree(chroots.inside(self.chroot, "/etc/asterisk"), etc, symlinks=True)
        for name in ("run", "log/cdr-csv", "log/cdr-custom", "spool/monitor", "spool/tmp", "spool/outgoing", "spool/voicemail", "lib", "cache"):
            (self.folder / name).mkdir(parents=True)
        for name, text in self._files(extra_dialplan, timestampevents).items():
            path = etc / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def _files(self, extra_dialplan, timestampevents):
        lane, here = self.lane, self.inside
        # The folder of the modules differs between the Debians.
        modules = next(line.split("=>")[1].strip() for line in
                       chroots.inside(self.chroot, "/etc/asterisk/asterisk.conf").read_text().splitlines() if line.startswith("astmoddir"))
        account = (CONF / "manager.d-pinconnector.conf").read_text()
        placeholder = "CHANGE-ME-to-a-long-random-password"
        if account.count(placeholder) != 1:
            raise AssertionError("the shipped account has one placeholder for the password")
        return {
            "asterisk.conf": f"""[directories]
astcachedir => {here}/cache
astetcdir => {here}/etc
astmoddir => {modules}
astvarlibdir => {here}/lib
astdbdir => {here}/lib
astkeydir => {here}/lib
astdatadir => /usr/share/asterisk
astagidir => /usr/share/asterisk/agi-bin
astspooldir => {here}/spool
astrundir => {here}/run
astlogdir => {here}/log
astsbindir => /usr/sbin
[options]
verbose = 3
dontwarn = yes
""",
            "modules.conf": "[modules]\nautoload = yes\n" + "".join(f"noload = {m}.so\n" for m in _LEFT_OUT),
            "logger.conf": "[general]\ndateformat = %F %T.%3q\n[logfiles]\nmessages => notice,warning,error,verbose(3)\n",
            "manager.conf": f"""[general]
enabled = yes
port = 5038
bindaddr = {lane.pbx}
timestampevents = {'yes' if timestampevents else 'no'}
[{ALL_RIGHTS[0]}]
secret = {ALL_RIGHTS[1]}
read = all
write = all
writetimeout = 10000
#include "manager.d/*.conf"
""",
            # As an administrator installs it.
            "manager.d/pinconnector.conf": account.replace(placeholder, SECRET),
            "cdr_manager.conf": (CONF / "cdr_manager.conf").read_text(),
            "cdr.conf": (CONF / "cdr.conf").read_text(),
            "extensions-pinconnector.conf": (CONF / "extensions-pinconnector.conf").read_text().replace(
                "agi://127.0.0.1:4573/", f"agi://{lane.connector}:4573/"),
            "extensions.conf": dialplan.extensions(extra_dialplan),
            "queues.conf": dialplan.QUEUES,
            "features.conf": dialplan.FEATURES,
            "res_parking.conf": dialplan.PARKING,
            "followme.conf": dialplan.FOLLOWME,
            "voicemail.conf": dialplan.VOICEMAIL,
            "musiconhold.conf": "[default]\nmode = files\ndirectory = /lab/sounds/moh\n",
            "rtp.conf": "[general]\nrtpstart = 10000\nrtpend = 14000\nstrictrtp = no\nicesupport = no\n",
            "pjsip.conf": dialplan.pjsip(lane),
            "http.conf": "[general]\nenabled = no\n",
            "confbridge.conf": "[general]\n[default_user]\ntype = user\n[default_bridge]\ntype = bridge\n",
            "stasis.conf": "",
        }

    # -- life -------------------------------------------------------------------------------------------------------

    def start(self):
        """Returns when Asterisk has booted fully."""
        self.log_folder.mkdir(parents=True, exist_ok=True)
        log = self.log_folder / f"asterisk-{self.version}-{self.lane.n}.console"
        command = ["chroot", self.chroot, "/usr/sbin/asterisk", "-f", "-C", f"{self.inside}/etc/asterisk.conf"]
        self.child = processes.start(command, log, env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "TZ": "UTC", "HOME": "/root", "LANG": "C.UTF-8"})

        def booted():
            if self.child.poll() is not None:
                raise RuntimeError(f"Asterisk {self.version} ended at once: see {log} and {self.messages()}")
            try:
                ami = Ami(self.ami_address, *ALL_RIGHTS)
            except OSError:
                return None
            try:
                ami.wait(lambda m: m.get("Event") == "FullyBooted", 10)
            finally:
                ami.close()
            return True

        processes.wait_for(f"Asterisk {self.version} boots", 60, booted, every_s=0.1)
        return self

    def stop(self):
        if self.child:
            processes.stop(self.child, grace_s=10)
            self.child = None

    def crash(self):
        """As when the power fails: no good-byes to anybody."""
        processes.stop(self.child, grace_s=10, sig=signal.SIGKILL)
        self.child = None

    def command(self, line):
        """The output of a console command."""
        ami = Ami(self.ami_address, *ALL_RIGHTS)
        try:
            return ami.command(line)
        finally:
            ami.close()

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)
