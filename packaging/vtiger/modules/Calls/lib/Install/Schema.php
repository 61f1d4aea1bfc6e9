<?php

/** What the module is in vTiger, as data: tables, fields, filters, tabs, links, tools, cron. The Installer makes a vTiger be this. */

declare(strict_types=1);

namespace PinCalls\Install;

use PinCalls\Record\Words;

final class Schema
{
    public const MODULE = 'Calls';
    public const CLIENT_MODULES = ['Contacts', 'Leads', 'Accounts'];

    /** Profile tools of our own, on by default. */
    public const TOOLS = ['Listen', 'Download', 'ClickToCall', 'TakeExtension'];

    /** Our own table of numbers and so on; each statement may be run again at any time. */
    public const TABLES = [
        'vtiger_calls' => 'callsid INT(19) NOT NULL PRIMARY KEY',
        'vtiger_callscf' => 'callsid INT(19) NOT NULL PRIMARY KEY',
        'vtiger_calls_claim' => 'connector_id INT NOT NULL, call_id VARCHAR(150) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,'
            . ' crmid INT(19) NOT NULL DEFAULT 0, revision BIGINT NOT NULL, term BIGINT NOT NULL DEFAULT 0, conversation VARCHAR(130) CHARACTER SET ascii'
            . " COLLATE ascii_bin NOT NULL DEFAULT '', party VARCHAR(64) NOT NULL DEFAULT '', auto_owner INT NOT NULL DEFAULT 0,"
            . ' forgotten TINYINT NOT NULL DEFAULT 0, PRIMARY KEY (connector_id, call_id), KEY claim_crmid (crmid),'
            . ' KEY claim_party (connector_id, conversation, party)',
        'vtiger_calls_timeline' => 'crmid INT(19) NOT NULL PRIMARY KEY, steps MEDIUMTEXT NOT NULL, recordings TEXT',
        'vtiger_calls_sound' => 'connector_id INT NOT NULL, recording_id VARCHAR(100) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,'
            . ' file VARCHAR(150) NOT NULL, type VARCHAR(40) NOT NULL, size BIGINT NOT NULL, have BIGINT NOT NULL,'
            . ' created_at INT NOT NULL, PRIMARY KEY (connector_id, recording_id)',
        'vtiger_calls_ringing' => 'crmid INT(19) NOT NULL PRIMARY KEY, userid INT NOT NULL, since INT NOT NULL,'
            . ' number VARCHAR(64) NOT NULL, name VARCHAR(255) NOT NULL, did VARCHAR(64) NOT NULL, client_id INT NOT NULL,'
            . " client_module VARCHAR(50) NOT NULL, call_id VARCHAR(130) NOT NULL DEFAULT '', KEY ringing_user (userid)",
        'vtiger_calls_phone' => 'id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, crmid INT(19) NOT NULL, module VARCHAR(50) NOT NULL,'
            . ' number VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL, reversed VARCHAR(40) CHARACTER SET ascii'
            . " COLLATE ascii_bin NOT NULL, tail VARCHAR(20) CHARACTER SET ascii COLLATE ascii_bin NOT NULL DEFAULT '',"
            . ' KEY phone_number (number), KEY phone_reversed (reversed), KEY phone_tail (tail), KEY phone_crmid (crmid)',
        'vtiger_calls_phone_change' => 'seq BIGINT NOT NULL AUTO_INCREMENT PRIMARY KEY,'
            . ' number VARCHAR(40) CHARACTER SET ascii COLLATE ascii_bin NOT NULL',
        'vtiger_calls_connector' => 'id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, name VARCHAR(100) NOT NULL,'
            . ' wire_key VARCHAR(100) COLLATE utf8_bin NOT NULL, secret VARCHAR(200) NOT NULL, url VARCHAR(255) NOT NULL,'
            . ' enabled TINYINT NOT NULL, reachable TINYINT NOT NULL, heartbeat MEDIUMTEXT NOT NULL,'
            . ' heard_at INT NOT NULL, UNIQUE KEY connector_key (wire_key)',
        'vtiger_calls_nonce' => 'connector_id INT NOT NULL, nonce CHAR(32) CHARACTER SET ascii NOT NULL, seen_at INT NOT NULL,'
            . ' PRIMARY KEY (connector_id, nonce), KEY nonce_seen (seen_at)',
        'vtiger_calls_setting' => 'name VARCHAR(60) NOT NULL PRIMARY KEY, value TEXT NOT NULL',
        'vtiger_calls_group' => 'groupid INT NOT NULL PRIMARY KEY, priority INT NOT NULL, connector_id INT NOT NULL,'
            . ' pbx VARCHAR(100) NOT NULL, context VARCHAR(100) NOT NULL, caller_id VARCHAR(64) NOT NULL',
        'vtiger_calls_owner' => 'id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, kind VARCHAR(10) NOT NULL,'
            . ' value VARCHAR(100) NOT NULL, ownerid INT NOT NULL, UNIQUE KEY owner_of (kind, value)',
        'vtiger_calls_deputy' => 'userid INT NOT NULL PRIMARY KEY, deputyid INT NOT NULL',
        'vtiger_calls_seat' => 'id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, userid INT NOT NULL, pbx VARCHAR(100) NOT NULL,'
            . ' extension VARCHAR(32) NOT NULL, since INT NOT NULL, until INT NOT NULL, seen_at INT NOT NULL,'
            . ' KEY seat_extension (extension, until), KEY seat_user (userid, until), KEY seat_until (until)',
        'vtiger_calls_command' => 'id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, connector_id INT NOT NULL,'
            . ' command VARCHAR(40) NOT NULL, payload TEXT NOT NULL, created_at INT NOT NULL, expires_at INT NOT NULL,'
            . ' done_at INT NOT NULL, KEY command_waiting (connector_id, done_at)',
        'vtiger_calls_click' => 'request VARCHAR(64) CHARACTER SET ascii NOT NULL PRIMARY KEY, connector_id INT NOT NULL,'
            . ' userid INT NOT NULL, number VARCHAR(64) NOT NULL, state VARCHAR(30) NOT NULL, reason VARCHAR(200) NOT NULL,'
            . ' created_at INT NOT NULL, updated_at INT NOT NULL, KEY click_created (created_at)',
        'vtiger_calls_log' => 'id INT NOT NULL AUTO_INCREMENT PRIMARY KEY, connector_id INT NOT NULL, direction CHAR(3) NOT NULL,'
            . ' what VARCHAR(100) NOT NULL, at INT NOT NULL, status INT NOT NULL, took_ms INT NOT NULL, request TEXT NOT NULL,'
            . ' answer TEXT NOT NULL, KEY log_connector (connector_id, id), KEY log_at (at)',
    ];

    /** Indexes on the entity's columns, made when the columns are there. */
    public const INDEXES = [
        'calls_started' => ['vtiger_calls', 'call_started'],
        'calls_status' => ['vtiger_calls', 'call_status, is_main, call_started'],
        'calls_direction' => ['vtiger_calls', 'call_direction, is_main, call_started'],
        'calls_client' => ['vtiger_calls', 'call_client'],
        'calls_main_client' => ['vtiger_calls', 'main_client'],
        'calls_ticket' => ['vtiger_calls', 'call_ticket'],
        'calls_main_ticket' => ['vtiger_calls', 'main_ticket'],
        'calls_user' => ['vtiger_calls', 'crm_user, call_started'],
        'calls_conversation' => ['vtiger_calls', 'call_conversation'],
        'calls_id' => ['vtiger_calls', 'call_id'],
        'calls_number' => ['vtiger_calls', 'client_number'],
        'calls_e164' => ['vtiger_calls', 'client_e164'],
        'calls_follow_up' => ['vtiger_calls', 'call_follow_up'],
    ];

    /** Columns added since a table was first made (table, column, type): update brings older installs to these. */
    public const LATER_COLUMNS = [
        ['vtiger_calls_timeline', 'recordings', 'TEXT'],
        ['vtiger_calls_claim', 'term', 'BIGINT NOT NULL DEFAULT 0'],
        ['vtiger_calls_ringing', 'call_id', "VARCHAR(130) NOT NULL DEFAULT ''"],
    ];

    public const BLOCKS = [
        'LBL_CALLS_CALL', 'LBL_CALLS_CLIENT', 'LBL_CALLS_EXCHANGE', 'LBL_CALLS_RECORDING', 'LBL_CALLS_FOLLOW_UP',
        'LBL_CALLS_SYSTEM', 'LBL_CUSTOM_INFORMATION', 'LBL_DESCRIPTION_INFORMATION',
    ];

    /** The fields only people change; everything else is the exchange's word. */
    public const EDITABLE = ['assigned_user_id', 'call_client', 'call_ticket', 'description', 'tags', 'starred'];

    /**
     * name => block, label, uitype, typeofdata, column type; then where it differs: table, column, values, modules, presence,
     * displaytype, summary.
     *
     * @return array<string, array<string, mixed>>
     */
    public static function fields(): array
    {
        $call = 'LBL_CALLS_CALL';
        $client = 'LBL_CALLS_CLIENT';
        $exchange = 'LBL_CALLS_EXCHANGE';
        $followUp = 'LBL_CALLS_FOLLOW_UP';
        $recording = 'LBL_CALLS_RECORDING';
        $system = 'LBL_CALLS_SYSTEM';
        return [
            'call_name' => self::text($call, 'Call', 200) + ['summary' => 1],
            'call_direction' => self::picklist($call, 'Direction', Words::DIRECTIONS) + ['summary' => 1],
            'call_status' => self::picklist($call, 'Call Status', Words::STATUSES) + ['summary' => 1],
            'call_reason' => self::picklist($call, 'Reason', Words::REASONS) + ['summary' => 1],
            'is_main' => self::flag($call, 'Main Record'),
            'call_started' => self::moment($call, 'Call Started') + ['summary' => 1],
            'call_answered' => self::moment($call, 'Answered'),
            'call_ended' => self::moment($call, 'Ended'),
            'ring_seconds' => self::number($call, 'Ring Time'),
            'talk_seconds' => self::number($call, 'Talk Time') + ['summary' => 1],
            'wait_seconds' => self::number($call, 'Wait Time'),
            'total_seconds' => self::number($call, 'Total Time'),
            'crm_user' => [
                'block' => $call, 'label' => 'Employee', 'uitype' => 52, 'typeofdata' => 'V~O', 'column' => 'crm_user',
                'columntype' => 'INT(19)', 'summary' => 1,
            ],
            'assigned_user_id' => [
                'block' => $call, 'label' => 'Assigned To', 'uitype' => 53, 'typeofdata' => 'V~M',
                'table' => 'vtiger_crmentity', 'column' => 'smownerid',
            ],
            'client_number' => [
                'block' => $client, 'label' => 'Client Number', 'uitype' => 11, 'typeofdata' => 'V~O',
                'columntype' => 'VARCHAR(64)', 'summary' => 1,
            ],
            'client_name' => self::text($client, 'Caller Name', 200),
            'client_e164' => self::text($client, 'Client Number E164', 32),
            'call_client' => self::reference($client, 'Client', self::CLIENT_MODULES) + ['summary' => 1],
            'call_ticket' => self::reference($client, 'Ticket', ['HelpDesk']),
            // The same links, on main records only: the tabs of the cards count what clients lived through.
            'main_client' => self::reference($system, 'Client Of Main Record', self::CLIENT_MODULES) + ['displaytype' => 3],
            'main_ticket' => self::reference($system, 'Ticket Of Main Record', ['HelpDesk']) + ['displaytype' => 3],
            'calling_number' => self::text($exchange, 'Calling Number', 64),
            'called_number' => self::text($exchange, 'Called Number', 64),
            'call_did' => self::text($exchange, 'DID', 64),
            'call_pbx' => self::text($exchange, 'PBX', 120),
            'call_extension' => self::text($exchange, 'Extension', 32) + ['summary' => 1],
            'call_phone' => self::text($exchange, 'Outside Phone', 64),
            'call_trunk' => self::text($exchange, 'Trunk', 100),
            'call_queue' => self::text($exchange, 'Queue', 100),
            'call_menu' => self::text($exchange, 'Menu', 200),
            'call_voicemail' => self::text($exchange, 'Voicemail', 100),
            'transfer_source' => self::text($exchange, 'Transferred By', 64),
            'transfer_target' => self::text($exchange, 'Transferred To', 64),
            'transfer_kind' => self::picklist($exchange, 'Transfer', Words::TRANSFERS),
            'pickup_source' => self::text($exchange, 'Picked Up At', 64),
            'ended_by' => self::picklist($exchange, 'Ended By', Words::ENDED_BY),
            'hangup_cause' => self::number($exchange, 'Hangup Cause'),
            'recording_link' => [
                'block' => $recording, 'label' => 'Recording', 'uitype' => 17, 'typeofdata' => 'V~O',
                'columntype' => 'VARCHAR(250)', 'summary' => 1,
            ],
            'recording_state' => self::picklist($recording, 'Recording State', Words::RECORDING_STATES),
            'call_follow_up' => self::picklist($followUp, 'Follow-up', Words::FOLLOW_UPS) + ['summary' => 1],
            'follow_up_tries' => self::number($followUp, 'Tries'),
            'follow_up_call' => self::text($followUp, 'Followed Up By Call', 130),
            'followed_up_at' => self::moment($followUp, 'Followed Up At'),
            'outside_hours' => self::flag($followUp, 'Outside Hours'),
            'click_to_call' => self::flag($system, 'Click To Call'),
            'told_late' => self::flag($system, 'Told Later'),
            'call_source' => self::picklist($system, 'Told By', Words::SOURCES),
            'call_id' => self::text($system, 'Call Id', 130),
            'call_conversation' => self::text($system, 'Conversation', 130),
            'call_connector' => self::number($system, 'Connector'),
            'createdtime' => [
                'block' => $system, 'label' => 'Created Time', 'uitype' => 70, 'typeofdata' => 'DT~O',
                'table' => 'vtiger_crmentity', 'displaytype' => 2,
            ],
            'modifiedtime' => [
                'block' => $system, 'label' => 'Modified Time', 'uitype' => 70, 'typeofdata' => 'DT~O',
                'table' => 'vtiger_crmentity', 'displaytype' => 2,
            ],
            'modifiedby' => [
                'block' => $system, 'label' => 'Last Modified By', 'uitype' => 52, 'typeofdata' => 'V~O',
                'table' => 'vtiger_crmentity', 'displaytype' => 3,
            ],
            'description' => [
                'block' => 'LBL_DESCRIPTION_INFORMATION', 'label' => 'Description', 'uitype' => 19, 'typeofdata' => 'V~O',
                'table' => 'vtiger_crmentity',
            ],
            'source' => [
                'block' => $system, 'label' => 'Source', 'uitype' => 1, 'typeofdata' => 'V~O',
                'table' => 'vtiger_crmentity', 'displaytype' => 2,
            ],
            'starred' => [
                'block' => $call, 'label' => 'starred', 'uitype' => 56, 'typeofdata' => 'C~O',
                'table' => 'vtiger_crmentity_user_field', 'displaytype' => 6,
            ],
            'tags' => [
                'block' => $call, 'label' => 'tags', 'uitype' => 1, 'typeofdata' => 'V~O', 'columntype' => 'VARCHAR(1)',
                'displaytype' => 6,
            ],
        ];
    }

    /**
     * Filters that come with the module: name => rules (field, comparator, value, joined by «and»). «Mine» has none: who that is
     * depends on who looks, so the list itself adds it (Calls_ListView_Model).
     *
     * @return array<string, list<array{0: string, 1: string, 2: string}>>
     */
    public static function filters(): array
    {
        $main = ['is_main', 'e', '1'];
        return [
            'All' => [],
            'Mine' => [$main],
            'Missed' => [$main, ['call_status', 'e', 'missed']],
            'Missed and not called back' => [
                $main, ['call_status', 'e', 'missed'], ['call_follow_up', 'e', 'open,tried'],
            ],
            'Today' => [$main, ['call_started', 'today', '']],
            'Incoming' => [$main, ['call_direction', 'e', 'incoming']],
            'Outgoing' => [$main, ['call_direction', 'e', 'outgoing']],
            'Internal' => [$main, ['call_direction', 'e', 'internal']],
        ];
    }

    public const FILTER_COLUMNS = [
        'call_started', 'call_direction', 'call_status', 'client_number', 'call_client', 'crm_user', 'call_extension',
        'talk_seconds', 'recording_link', 'call_reason', 'call_follow_up', 'assigned_user_id',
    ];

    /** Tabs: host module => label => reference field. */
    public const TABS = [
        'Contacts' => ['Calls' => 'main_client', 'Calls (all phones)' => 'call_client'],
        'Leads' => ['Calls' => 'main_client', 'Calls (all phones)' => 'call_client'],
        'Accounts' => ['Calls' => 'main_client', 'Calls (all phones)' => 'call_client'],
        'HelpDesk' => ['Calls' => 'main_ticket', 'Calls (all phones)' => 'call_ticket'],
    ];

    public const EVENTS = [
        'vtiger.entity.aftersave', 'vtiger.entity.afterdelete', 'vtiger.entity.afterrestore', 'vtiger.lead.convertlead',
    ];
    public const EVENT_FILE = 'modules/Calls/CallsHandler.php';
    public const EVENT_CLASS = 'CallsHandler';

    public const CRON_NAME = 'Calls';
    public const CRON_FILE = 'cron/modules/Calls/Calls.service';
    public const CRON_SECONDS = 60;

    public const HEADER_SCRIPTS = ['layouts/v7/modules/Calls/resources/CallsHeader.js'];
    /** Dashboard widgets: label => widget class part. */
    public const DASHBOARD = [
        'Calls by Hour' => 'CallsByHour', 'Calls by Status' => 'CallsByStatus', 'Missed and Not Called Back' => 'NotCalledBack',
        'Calls per Employee' => 'CallsPerEmployee',
    ];
    public const SETTINGS_LABEL = 'LBL_CALLS_SETTINGS';
    public const SETTINGS_LINK = 'index.php?module=Calls&parent=Settings&view=Index';
    public const CALLER_ID_FIELD = 'calls_caller_id';
    /** Where the presentation number of a client stands: host module => table, block. */
    public const CALLER_ID_HOSTS = [
        'Contacts' => ['vtiger_contactscf', 'LBL_CONTACT_INFORMATION'],
        'Leads' => ['vtiger_leadscf', 'LBL_LEAD_INFORMATION'],
        'Accounts' => ['vtiger_accountscf', 'LBL_ACCOUNT_INFORMATION'],
    ];

    /** @return list<string> tables of picklist values this module made */
    public static function picklistTables(): array
    {
        $tables = [];
        foreach (self::fields() as $name => $field) {
            if (isset($field['values'])) {
                $tables[] = "vtiger_$name";
            }
        }
        return $tables;
    }

    /** @return array<string, mixed> */
    private static function text(string $block, string $label, int $width): array
    {
        return [
            'block' => $block, 'label' => $label, 'uitype' => 1, 'typeofdata' => 'V~O', 'columntype' => "VARCHAR($width)",
        ];
    }

    /** @return array<string, mixed> */
    private static function number(string $block, string $label): array
    {
        return ['block' => $block, 'label' => $label, 'uitype' => 7, 'typeofdata' => 'I~O', 'columntype' => 'INT(11)'];
    }

    /** @return array<string, mixed> */
    private static function moment(string $block, string $label): array
    {
        return ['block' => $block, 'label' => $label, 'uitype' => 70, 'typeofdata' => 'DT~O', 'columntype' => 'DATETIME'];
    }

    /** @return array<string, mixed> */
    private static function flag(string $block, string $label): array
    {
        return ['block' => $block, 'label' => $label, 'uitype' => 56, 'typeofdata' => 'C~O', 'columntype' => 'VARCHAR(3)'];
    }

    /**
     * @param list<string> $values
     * @return array<string, mixed>
     */
    private static function picklist(string $block, string $label, array $values): array
    {
        return [
            'block' => $block, 'label' => $label, 'uitype' => 16, 'typeofdata' => 'V~O', 'columntype' => 'VARCHAR(60)',
            'values' => $values,
        ];
    }

    /**
     * @param list<string> $modules
     * @return array<string, mixed>
     */
    private static function reference(string $block, string $label, array $modules): array
    {
        return [
            'block' => $block, 'label' => $label, 'uitype' => 10, 'typeofdata' => 'V~O', 'columntype' => 'INT(19)',
            'modules' => $modules,
        ];
    }
}
