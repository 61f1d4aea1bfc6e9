"""The test PBX: what its numbers do. Leaves starting it to asterisk.py and what the phones do to sip.py.

| DID | leads to |
|---|---|
| +74951234567 | Dial 101 for 8 s |
| +7495200XXX | Dial the phone XXX for 8 s: each story has phones of its own |
| +7495201XXX | the same, recorded by our pinconnector-record |
| +7495202XXX | our pinconnector-responsible, then its RESPONSIBLE, else the phone XXX |
| +7495203XXX | our pinconnector-client, then the phone XXX |
| +7495204XXX | Dial the phones XXX and the two after it together, 8 s |
| +7495205XXX | Dial XXX (3 s), then the one after it (8 s) |
| +7495206XXX | Dial XXX (3 s), then the mobile 89165550XXX through a Local channel |
| +7495207XXX | Dial XXX (3 s), then VoiceMail |
| +7495208XXX | belongs to the CRM "second", Dial XXX |
| ...504, 506 | Dial 104, which registers itself in a story; 106, which never does |
| ...505 | Dial 105, whose address nobody listens on |
| ...510, 511 | greeting after Answer; greeting as early media |
| ...520 | menu `ivr-main`: 1 = Dial 101, 2 = Dial 102, 3 = queue sales |
| ...531, 532 | Queue sales (101, 102, 103 together), 30 s and 6 s |
| ...533 | Queue nobody: no members, callers wait |
| ...534 | Queue closed: no members, nobody is let in |
| ...535 | Queue support (121, 122), 30 s |
| ...540 | Goto a context that does not exist |
| ...541, 543 | Hangup(21); Busy |
| ...547 | Goto an extension that the menu does not have |
| ...550 | Dial 101, 102 and 103 together, 8 s |
| ...599 | Answer, ConfBridge 600 |
| any other | our catch-all |

Phones dial: 1XX or 2XX another phone (8 s); 8 or +7 and ten digits: the trunk (10 s); 9 before it: with our pinconnector-callerid and
recorded; 600 the conference; *8 pickup of the own group; **XXX pickup of that phone; 700 parks, 701 to 709 retrieve; *11
leaves a message with nobody (a feature). In a call: ## blind transfer, *2 attended transfer.
"""

PHONES = {101: "Ivan Petrov", 102: "Olga Sidorova", 103: "Petr Ivanov", 104: "Anna Orlova"}
# Phones without a story of their own, so that stories can run side by side; they are taken three at a time.
SPARE = range(110, 290)
QUEUE_SUPPORT = (121, 122)
# A phone that is not there: its contact is an address nobody listens on.
DEAD = 105
TRUNK = "trunk-msk"


def blocks():
    """Threes of spare phones. Each three is a call and pickup group of its own."""
    return [range(ten + at, ten + at + 3) for ten in range(SPARE.start, SPARE.stop, 10) for at in (0, 3, 6)
            if not set(QUEUE_SUPPORT) & set(range(ten + at, ten + at + 3))]


def group_of(extension):
    """Call and pickup group, 1 to 63."""
    if extension < SPARE.start:
        return 1
    return 2 + (extension - SPARE.start) // 10 * 3 + min(extension % 10 // 3, 2)


def pjsip(lane):
    """pjsip.conf: the phones are known by their name in From, the trunk by its address."""
    text = [f"""[global]
type = global
user_agent = lab
[udp]
type = transport
protocol = udp
bind = {lane.pbx}:5060
[common](!)
type = endpoint
disallow = all
allow = alaw
direct_media = no
rtp_symmetric = yes
dtmf_mode = rfc4733
media_address = {lane.pbx}
bind_rtp_to_media_address = yes
trust_id_inbound = yes
[phone](!,common)
context = from-internal
[{TRUNK}](common)
context = from-trunk
aors = {TRUNK}
[{TRUNK}]
type = aor
contact = sip:{lane.trunk}:5060
[{TRUNK}]
type = identify
endpoint = {TRUNK}
match = {lane.trunk}/32
"""]
    names = dict(PHONES)
    names.update({n: f"Phone {n}" for n in SPARE})
    names.update({DEAD: "Dead 105", 106: "Never there"})
    for number, name in sorted(names.items()):
        group = group_of(number)
        text.append(f"[{number}](phone)\naors = {number}\ncallerid = \"{name}\" <{number}>\ncall_group = {group}\npickup_group = {group}\n")
        if number in (104, 106):
            text.append(f"[{number}]\ntype = aor\nmax_contacts = 1\nremove_existing = yes\nminimum_expiration = 5\n")
        else:
            port = 5999 if number == DEAD else 5060
            text.append(f"[{number}]\ntype = aor\ncontact = sip:{number}@{lane.phones}:{port}\n")
    return "".join(text)


def extensions(extra=""):
    return r"""[general]
static = yes
writeprotect = yes
#include "extensions-pinconnector.conf"

[from-trunk]
exten => +74951234567,1,Set(CDR(did)=${EXTEN})
 same => n,Dial(PJSIP/101,8,tT)
 same => n,Hangup()
exten => _+7495200XXX,1,Dial(PJSIP/${EXTEN:-3},8,tT)
 same => n,Hangup()
exten => _+7495201XXX,1,Gosub(pinconnector-record,s,1(${EXTEN}))
 same => n,Dial(PJSIP/${EXTEN:-3},8,tT)
 same => n,Hangup()
exten => _+7495202XXX,1,Gosub(pinconnector-responsible,s,1)
 same => n,ExecIf($["${RESPONSIBLE}" != ""]?Dial(PJSIP/${RESPONSIBLE},8,tT))
 same => n,ExecIf($["${DIALSTATUS}" != "ANSWER"]?Dial(PJSIP/${EXTEN:-3},8,tT))
 same => n,Hangup()
exten => _+7495203XXX,1,Gosub(pinconnector-client,s,1)
 same => n,Dial(PJSIP/${EXTEN:-3},8,tT)
 same => n,Hangup()
exten => _+7495204XXX,1,Dial(PJSIP/${EXTEN:-3}&PJSIP/$[${EXTEN:-3}+1]&PJSIP/$[${EXTEN:-3}+2],8,tT)
 same => n,Hangup()
exten => _+7495205XXX,1,Dial(PJSIP/${EXTEN:-3},3,tT)
 same => n,Dial(PJSIP/$[${EXTEN:-3}+1],8,tT)
 same => n,Hangup()
exten => _+7495206XXX,1,Dial(PJSIP/${EXTEN:-3},3,tT)
 same => n,Dial(Local/89165550${EXTEN:-3}@from-internal,8,tT)
 same => n,Hangup()
exten => _+7495207XXX,1,Dial(PJSIP/${EXTEN:-3},3,tT)
 same => n,VoiceMail(101@default)
 same => n,Hangup()
exten => _+7495208XXX,1,Set(__PINCONNECTOR_CRM=second)
 same => n,Dial(PJSIP/${EXTEN:-3},8,tT)
 same => n,Hangup()
exten => +74951234504,1,Dial(PJSIP/104,8,tT)
 same => n,Hangup()
exten => +74951234505,1,Dial(PJSIP/105,5,tT)
 same => n,Hangup()
exten => +74951234506,1,Dial(PJSIP/106,8,tT)
 same => n,Hangup()
exten => +74951234510,1,Answer()
 same => n,Playback(/lab/sounds/greeting)
 same => n,Hangup()
exten => +74951234511,1,Progress()
 same => n,Playback(/lab/sounds/greeting,noanswer)
 same => n,Hangup()
exten => +74951234520,1,Goto(ivr-main,s,1)
exten => +74951234531,1,Answer()
 same => n,Queue(sales,tT,,,30)
 same => n,Hangup()
exten => +74951234532,1,Answer()
 same => n,Queue(sales,tT,,,6)
 same => n,Hangup()
exten => +74951234533,1,Answer()
 same => n,Queue(nobody,tT,,,30)
 same => n,Hangup()
exten => +74951234534,1,Queue(closed,tT,,,30)
 same => n,Hangup()
exten => +74951234535,1,Answer()
 same => n,Queue(support,tT,,,30)
 same => n,Hangup()
exten => +74951234540,1,Goto(no-such-context,s,1)
exten => +74951234541,1,Hangup(21)
exten => +74951234543,1,Busy(1)
exten => +74951234547,1,Goto(ivr-main,77,1)
exten => +74951234550,1,Dial(PJSIP/101&PJSIP/102&PJSIP/103,8,tT)
 same => n,Hangup()
exten => +74951234599,1,Answer()
 same => n,ConfBridge(600)
include => pinconnector-catch-all

[ivr-main]
exten => s,1,Answer()
 same => n,Set(TIMEOUT(digit)=1)
 same => n,Set(TIMEOUT(response)=4)
 same => n,Background(/lab/sounds/menu)
 same => n,WaitExten(4)
exten => 1,1,Dial(PJSIP/101,8,tT)
 same => n,Hangup()
exten => 2,1,Dial(PJSIP/102,8,tT)
 same => n,Hangup()
exten => 3,1,Queue(sales,tT,,,30)
 same => n,Hangup()
exten => i,1,Playback(/lab/sounds/beep)
 same => n,Hangup()
exten => t,1,Playback(/lab/sounds/beep)
 same => n,Hangup()

[from-internal]
exten => _[12]XX,1,Dial(PJSIP/${EXTEN},8,tT)
 same => n,Hangup()
exten => _8XXXXXXXXXX,1,Dial(PJSIP/${EXTEN}@trunk-msk,10,T)
 same => n,Hangup()
exten => _+7XXXXXXXXXX,1,Dial(PJSIP/${EXTEN}@trunk-msk,10,T)
 same => n,Hangup()
exten => _98XXXXXXXXXX,1,Gosub(pinconnector-callerid,s,1(${EXTEN:1}))
 same => n,ExecIf($["${OUTGOING_CALLERID}" != ""]?Set(CALLERID(num)=${OUTGOING_CALLERID}))
 same => n,Gosub(pinconnector-record,s,1(${EXTEN:1}))
 same => n,Dial(PJSIP/${EXTEN:1}@trunk-msk,10,T)
 same => n,Hangup()
exten => _**[12]XX,1,PickupChan(PJSIP/${EXTEN:2})
 same => n,Hangup()
exten => *11,1,Answer()
 same => n,Playback(/lab/sounds/beep)
 same => n,Hangup()
exten => 600,1,Answer()
 same => n,ConfBridge(600)
exten => 500,1,Answer()
 same => n,Queue(sales,tT,,,30)
exten => 101,hint,PJSIP/101
exten => 102,hint,PJSIP/102
include => parkedcalls
""" + extra


QUEUES = """[general]
persistentmembers = no
autofill = yes
[sales]
strategy = ringall
timeout = 6
retry = 1
ringinuse = yes
member => PJSIP/101
member => PJSIP/102
member => PJSIP/103
[support]
strategy = ringall
timeout = 6
retry = 1
ringinuse = yes
member => PJSIP/121
member => PJSIP/122
[nobody]
strategy = ringall
joinempty = yes
leavewhenempty = no
[closed]
strategy = ringall
joinempty = no
"""

FEATURES = """[general]
pickupexten = *8
atxfernoanswertimeout = 8
transferdigittimeout = 3
[featuremap]
blindxfer => ##
atxfer => *2
"""

PARKING = """[general]
[default]
parkext => 700
parkpos => 701-709
context => parkedcalls
parkingtime => 6
comebacktoorigin = yes
parkedplay = caller
parkedcalltransfers = both
findslot = first
"""

FOLLOWME = "[general]\n"

VOICEMAIL = """[general]
format = wav
maxsilence = 0
maxsecs = 10
[default]
101 => 1234,Ivan Petrov
"""
