<?php

/** The figures of the dashboard: main records of the last week that the looker may see, in his time zone. */

declare(strict_types=1);

namespace PinCalls\Vtiger;

final class Figures
{
    private const DAYS = 7;
    private const LIST_LENGTH = 20;

    private Services $services;

    public function __construct(Services $services)
    {
        $this->services = $services;
    }

    /** @return list<array{label: string, count: int, link: string}> */
    public function callsByHour(): array
    {
        $offset = (new \DateTimeImmutable('now', $this->zone()))->getOffset();
        $rows = $this->rows('HOUR(DATE_ADD(vtiger_calls.call_started, INTERVAL ' . $offset . ' SECOND))', '');
        $byHour = array_column($rows, 'calls', 'figure');
        $figures = [];
        for ($hour = 0; $hour < 24; $hour++) {
            $figures[] = ['label' => sprintf('%02d', $hour), 'count' => (int) ($byHour[$hour] ?? 0), 'link' => ''];
        }
        return $figures;
    }

    /** @return list<array{label: string, count: int, link: string}> */
    public function callsByStatus(): array
    {
        return array_map(static function (array $row): array {
            $status = (string) $row['figure'];
            return [
                'label' => (string) vtranslate($status, 'Calls'),
                'count' => (int) $row['calls'],
                'link' => 'index.php?module=Calls&view=List&search_params='
                    . rawurlencode((string) json_encode([[['call_status', 'e', $status], ['is_main', 'e', '1']]])),
            ];
        }, $this->rows('vtiger_calls.call_status', ''));
    }

    /** @return list<array{label: string, count: int, link: string}> */
    public function callsPerEmployee(): array
    {
        return array_map(function (array $row): array {
            return [
                'label' => $this->services->users->name((int) $row['figure']) ?: '#' . $row['figure'],
                'count' => (int) $row['calls'],
                'link' => '',
            ];
        }, $this->rows('vtiger_calls.crm_user', ' AND vtiger_calls.crm_user > 0'));
    }

    /** @return list<array<string, string>> newest first */
    public function notCalledBack(): array
    {
        $sql = 'SELECT vtiger_calls.callsid, vtiger_calls.call_started, vtiger_calls.client_number, vtiger_calls.client_name,'
            . ' vtiger_calls.call_client, vtiger_calls.follow_up_tries' . $this->visible()
            . " AND vtiger_calls.call_status = 'missed' AND vtiger_calls.call_follow_up IN ('open', 'tried')"
            . ' ORDER BY vtiger_calls.call_started DESC LIMIT ' . self::LIST_LENGTH;
        $rows = $this->services->db->rows($sql);
        $ids = array_values(array_unique(array_filter(array_map('intval', array_column($rows, 'call_client')))));
        $names = [];
        foreach ($this->services->clients->byIds($ids) as $client) {
            if (\Users_Privileges_Model::isPermitted($client->module, 'DetailView', $client->crmId)) {
                $names[$client->crmId] = $client->name;
            }
        }
        return array_map(static function (array $row) use ($names): array {
            $started = new \DateTimeField((string) $row['call_started']);
            return [
                'id' => (string) $row['callsid'],
                'started' => (string) $started->getDisplayDateTimeValue(),
                'number' => (string) $row['client_number'],
                // vTiger stores texts of records as HTML; the page escapes what it is given.
                'name' => $names[(int) $row['call_client']]
                    ?? html_entity_decode((string) $row['client_name'], ENT_QUOTES | ENT_HTML5, 'UTF-8'),
                'tries' => (string) $row['follow_up_tries'],
            ];
        }, $rows);
    }

    /** @return list<array<string, mixed>> `figure` and `calls` */
    private function rows(string $figure, string $condition): array
    {
        $since = gmdate('Y-m-d H:i:s', (int) $this->services->clock->now() - self::DAYS * 86400);
        return $this->services->db->rows(
            "SELECT $figure AS figure, COUNT(*) AS calls" . $this->visible() . $condition
            . " AND vtiger_calls.is_main = '1' AND vtiger_calls.call_started >= ? GROUP BY figure ORDER BY calls DESC LIMIT 50",
            [$since]
        );
    }

    /** FROM and WHERE with vTiger's own sharing rules in them. */
    private function visible(): string
    {
        $focus = \CRMEntity::getInstance('Calls');
        return ' FROM vtiger_calls INNER JOIN vtiger_crmentity ON vtiger_crmentity.crmid = vtiger_calls.callsid'
            . $focus->getNonAdminAccessControlQuery('Calls', vglobal('current_user'))
            . ' WHERE vtiger_crmentity.deleted = 0';
    }

    private function zone(): \DateTimeZone
    {
        return new \DateTimeZone((string) \Users_Record_Model::getCurrentUserModel()->get('time_zone') ?: 'UTC');
    }
}
