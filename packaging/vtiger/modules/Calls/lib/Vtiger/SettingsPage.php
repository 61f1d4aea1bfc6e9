<?php

/** What the settings page shows. Secrets are not among it: they are asked for one by one. */

declare(strict_types=1);

namespace PinCalls\Vtiger;

use PinCalls\Clock;
use PinCalls\Settings\Connector;

final class SettingsPage
{
    private const LOG_LINES = 100;

    private Services $services;

    public function __construct(Services $services)
    {
        $this->services = $services;
    }

    /**
     * @param int $logOf the connector whose log is shown, 0 for the first
     * @return array<string, mixed> for the template, by the names it uses
     */
    public function facts(int $logOf): array
    {
        $services = $this->services;
        $connectors = $services->connectors->all();
        $logOf = $logOf !== 0 || $connectors === [] ? $logOf : $connectors[0]->id;
        $settings = [];
        foreach (array_keys(\PinCalls\Settings\Settings::DEFAULTS) as $name) {
            $settings[$name] = $services->settings->get($name);
        }
        return [
            'CONNECTORS' => array_map([$this, 'connector'], $connectors),
            'SAME_PBX' => self::sharedNames($connectors),
            'LOG_OF' => $logOf,
            'LOG' => $logOf === 0 ? [] : array_map([$this, 'logLine'], $services->log->last($logOf, self::LOG_LINES)),
            'GROUP_ROWS' => $services->groups->all(),
            'ALL_GROUPS' => $services->db->rows('SELECT groupid, groupname FROM vtiger_groups ORDER BY groupname'),
            'ALL_USERS' => $this->users(),
            'OWNER_ROWS' => $this->owners(),
            'DEPUTY_ROWS' => $this->deputies(),
            'RULES' => $settings,
        ];
    }

    /**
     * An extension is told apart by its exchange's name alone.
     *
     * @param list<Connector> $connectors
     * @return list<string> names of exchanges that more than one connector in use tells of
     */
    private static function sharedNames(array $connectors): array
    {
        $told = [];
        foreach ($connectors as $connector) {
            foreach ($connector->enabled ? array_unique($connector->pbxs()) : [] as $name) {
                $told[$name] = ($told[$name] ?? 0) + 1;
            }
        }
        return array_map('strval', array_keys(array_filter($told, static function (int $times): bool {
            return $times > 1;
        })));
    }

    /** @return array<string, mixed> */
    private function connector(Connector $connector): array
    {
        $beat = $connector->heartbeat;
        $silent = $this->services->links->silentSince($connector);
        $error = is_array($beat['last_error'] ?? null) ? $beat['last_error'] : [];
        $outbox = is_array($beat['outbox'] ?? null) ? $beat['outbox'] : [];
        $links = [];
        foreach ($connector->links() as $link) {
            $links[] = [
                'pbx' => $link['pbx'],
                'up' => $link['up'],
                'since' => self::moment($link['since'] ?? null),
                'asterisk' => self::text($link['asterisk'] ?? ''),
                'error' => self::text($link['error'] ?? ''),
            ];
        }
        return [
            'id' => $connector->id, 'name' => $connector->name, 'key' => $connector->key, 'url' => $connector->url,
            'enabled' => $connector->enabled, 'reachable' => $connector->reachable,
            'heard' => $connector->heardAt === 0 ? '' : self::local((float) $connector->heardAt),
            'silent' => $connector->heardAt > 0 && $silent > 0 ? self::local((float) $silent) : '',
            'version' => self::text($beat['version'] ?? ''),
            'started' => self::moment($beat['started_at'] ?? null),
            'skew' => isset($beat['clock_skew_seconds']) ? (string) $beat['clock_skew_seconds'] : '',
            'region' => self::text($beat['region'] ?? ''),
            'waiting' => self::text($outbox['waiting'] ?? '') . ' / ' . self::text($outbox['parked'] ?? ''),
            'error' => $error === [] ? '' : self::moment($error['at'] ?? null) . ' ' . self::text($error['message'] ?? ''),
            'links' => $links,
        ];
    }

    /**
     * @param array<string, mixed> $row
     * @return array<string, mixed>
     */
    private function logLine(array $row): array
    {
        return ['time' => self::local((float) $row['at'])] + $row;
    }

    /** @return list<array{id: int, name: string}> */
    private function users(): array
    {
        $users = [];
        foreach ($this->services->users->users() as $id => $row) {
            $users[] = ['id' => $id, 'name' => $this->services->users->name($id)];
        }
        return $users;
    }

    /** @return list<array<string, mixed>> */
    private function owners(): array
    {
        $rows = $this->services->db->rows('SELECT kind, value, ownerid FROM vtiger_calls_owner ORDER BY kind, value');
        foreach ($rows as $index => $row) {
            $rows[$index]['owner'] = $this->ownerName((int) $row['ownerid']);
        }
        return $rows;
    }

    private function ownerName(int $id): string
    {
        $name = $this->services->users->name($id);
        if ($name !== '') {
            return $name;
        }
        $rows = $this->services->db->rows('SELECT groupname FROM vtiger_groups WHERE groupid = ?', [$id]);
        return (string) ($rows[0]['groupname'] ?? '');
    }

    /** @return list<array<string, mixed>> */
    private function deputies(): array
    {
        $rows = [];
        foreach ($this->services->deputies->all() as $userId => $deputyId) {
            $rows[] = [
                'user' => $userId, 'user_name' => $this->services->users->name($userId),
                'deputy_name' => $this->services->users->name($deputyId),
            ];
        }
        return $rows;
    }

    /** @param mixed $value */
    private static function text($value): string
    {
        return is_scalar($value) ? mb_substr((string) $value, 0, 300) : '';
    }

    /** @param mixed $wire */
    private static function moment($wire): string
    {
        $at = is_string($wire) ? Clock::fromWire($wire) : null;
        return $at === null ? '' : self::local($at);
    }

    private static function local(float $unixSeconds): string
    {
        $local = new \DateTimeField(gmdate('Y-m-d H:i:s', (int) $unixSeconds));
        return (string) $local->getDisplayDateTimeValue();
    }
}
