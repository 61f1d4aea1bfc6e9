<?php

/** How a call went, for its card: the steps in the looker's time zone and the other records of the conversation he may see. */

declare(strict_types=1);

namespace PinCalls\Vtiger;

use PinCalls\Clock;
use PinCalls\Record\CallFields;

final class CallStory
{
    private int $crmId;
    private Services $services;
    /** @var array<string, mixed> */
    private array $call;

    public function __construct(int $crmId)
    {
        $this->crmId = $crmId;
        $this->services = Services::get();
        $rows = $this->services->db->rows(
            'SELECT call_conversation, call_connector, call_pbx, is_main FROM vtiger_calls WHERE callsid = ?',
            [$crmId]
        );
        $this->call = $rows[0] ?? ['call_conversation' => '', 'call_connector' => 0, 'call_pbx' => '', 'is_main' => '0'];
    }

    public function isMain(): bool
    {
        return (string) $this->call['is_main'] === '1';
    }

    /** @return list<array{time: string, step: string, details: string}> */
    public function steps(): array
    {
        $steps = [];
        foreach ($this->services->companions->timeline($this->crmId) as $step) {
            $at = Clock::fromWire((string) ($step['at'] ?? ''));
            if ($at === null) {
                continue;
            }
            $name = (string) ($step['step'] ?? '');
            $label = vtranslate('STEP_' . $name, 'Calls');
            $steps[] = [
                'time' => self::localTime($at),
                'step' => $label === 'STEP_' . $name ? $name : $label,
                'details' => $this->details($step),
            ];
        }
        return $steps;
    }

    /** @return list<array{time: string, player: string}> where there are several: what the player of the call's own field does not reach */
    public function recordings(): array
    {
        $recordings = $this->services->companions->recordings($this->crmId);
        $players = [];
        foreach (count($recordings) > 1 ? $recordings : [] as $index => $recording) {
            $at = Clock::fromWire((string) ($recording['started_at'] ?? ''));
            $id = (string) ($recording['id'] ?? '');
            $player = \Calls_Url_UIType::player($this->crmId, $id, true, $index + 1, (string) ($recording['state'] ?? ''));
            if ($player !== '') {
                $players[] = ['time' => $at === null ? (string) ($index + 1) : self::localTime($at), 'player' => $player];
            }
        }
        return $players;
    }

    /** @return list<array<string, string>> the other records of the conversation, main record first */
    public function others(): array
    {
        if ($this->call['call_conversation'] === '') {
            return [];
        }
        $rows = $this->services->db->rows(
            'SELECT c.callsid, c.call_name, c.call_extension, c.call_phone, c.call_status, c.call_started, c.ring_seconds,'
            . ' c.talk_seconds, c.is_main, c.crm_user FROM vtiger_calls c INNER JOIN vtiger_crmentity e ON e.crmid = c.callsid'
            . ' WHERE c.call_conversation = ? AND c.call_connector = ? AND c.callsid <> ? AND e.deleted = 0'
            . ' ORDER BY c.is_main DESC, c.call_started, c.callsid LIMIT 100',
            [$this->call['call_conversation'], (int) $this->call['call_connector'], $this->crmId]
        );
        $others = [];
        foreach ($rows as $row) {
            $id = (int) $row['callsid'];
            if (!\Users_Privileges_Model::isPermitted('Calls', 'DetailView', $id)) {
                continue;
            }
            $others[] = [
                'url' => "index.php?module=Calls&view=Detail&record=$id",
                'phone' => (string) ($row['call_extension'] ?: ($row['call_phone'] ?: $row['call_name'])),
                'user' => $this->services->users->name((int) $row['crm_user']),
                'status' => vtranslate((string) $row['call_status'], 'Calls'),
                'ring' => CallFields::duration((string) $row['ring_seconds']),
                'talk' => CallFields::duration((string) $row['talk_seconds']),
                'main' => (string) $row['is_main'] === '1' ? '1' : '',
            ];
        }
        return $others;
    }

    private static function localTime(float $unixSeconds): string
    {
        $zone = (string) \Users_Record_Model::getCurrentUserModel()->get('time_zone') ?: 'UTC';
        $local = \DateTimeField::convertTimeZone(gmdate('Y-m-d H:i:s', (int) $unixSeconds), 'UTC', $zone);
        return $local->format('H:i:s');
    }

    /**
     * Who, to whom, where, how and for how long, as far as the step says.
     *
     * @param array<string, mixed> $step
     */
    private function details(array $step): string
    {
        $text = static function (string $name) use ($step): string {
            return is_scalar($step[$name] ?? null) ? (string) $step[$name] : '';
        };
        $who = $this->withoutPbx($text('who'));
        $to = $this->withoutPbx($text('to'));
        $how = $text('how') === 'unknown' ? '' : $text('how');
        $details = [
            $to === '' ? $who : trim("$who → $to"),
            // Of a recording it is its file, which tells nobody anything.
            ($step['step'] ?? '') === 'recording' ? '' : $text('where'),
            $how === '' ? '' : mb_strtolower((string) vtranslate($how, 'Calls')),
            CallFields::duration($text('seconds')),
        ];
        return implode(' · ', array_filter($details, 'strlen'));
    }

    /** A connector of several exchanges writes `msk/101`; which exchange it is stands on the card. */
    private function withoutPbx(string $phone): string
    {
        $prefix = $this->call['call_pbx'] . '/';
        return strncmp($phone, $prefix, strlen($prefix)) === 0 ? substr($phone, strlen($prefix)) : $phone;
    }
}
