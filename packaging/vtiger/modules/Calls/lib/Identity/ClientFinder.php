<?php

/** Who has this number: one rule for the card, for the pop-up and for the connector's AGI. */

declare(strict_types=1);

namespace PinCalls\Identity;

use PinCalls\Db;
use PinCalls\Settings\Settings;

class ClientFinder
{
    public const MODULES = ['Contacts', 'Leads', 'Accounts'];

    private Db $db;
    private PhoneIndex $phones;
    private Settings $settings;
    /** @var array<string, list<Client>> of this request: a batch repeats numbers */
    private array $found = [];

    public function __construct(Db $db, PhoneIndex $phones, Settings $settings)
    {
        $this->db = $db;
        $this->phones = $phones;
        $this->settings = $settings;
    }

    public function byNumber(string $written): ?Client
    {
        return $this->allByNumber($written)[0] ?? null;
    }

    /** @return list<Client> the chosen one first */
    public function allByNumber(string $written): array
    {
        if ($written === '') {
            return [];
        }
        if (!isset($this->found[$written])) {
            $ids = array_column($this->phones->holders($written), 'crmid');
            $this->found[$written] = $this->inOrder($this->byIds($ids));
        }
        return $this->found[$written];
    }

    /** A client was made within this request. */
    public function forgetFound(): void
    {
        $this->found = [];
    }

    /**
     * @param list<int> $ids
     * @return list<Client> those that still exist; converted Leads do not
     */
    public function byIds(array $ids): array
    {
        if ($ids === []) {
            return [];
        }
        $marks = implode(', ', array_fill(0, count($ids), '?'));
        $rows = $this->db->rows(
            'SELECT e.crmid, e.setype, e.smownerid, e.modifiedtime, e.createdtime,'
            . ' c.firstname AS c_first, c.lastname AS c_last, c.accountid AS c_account, ca.accountname AS c_accountname,'
            . ' l.firstname AS l_first, l.lastname AS l_last, a.accountname AS a_name,'
            . ' COALESCE(ccf.calls_caller_id, lcf.calls_caller_id, acf.calls_caller_id) AS caller_id'
            . ' FROM vtiger_crmentity e'
            . ' LEFT JOIN vtiger_contactdetails c ON c.contactid = e.crmid'
            . ' LEFT JOIN vtiger_account ca ON ca.accountid = c.accountid'
            . ' LEFT JOIN vtiger_leaddetails l ON l.leadid = e.crmid'
            . ' LEFT JOIN vtiger_account a ON a.accountid = e.crmid'
            . ' LEFT JOIN vtiger_contactscf ccf ON ccf.contactid = e.crmid'
            . ' LEFT JOIN vtiger_leadscf lcf ON lcf.leadid = e.crmid'
            . ' LEFT JOIN vtiger_accountscf acf ON acf.accountid = e.crmid'
            . " WHERE e.crmid IN ($marks) AND e.deleted = 0 AND COALESCE(l.converted, 0) = 0",
            $ids
        );
        return array_map([$this, 'fromRow'], $rows);
    }

    /**
     * @param list<int> $ids
     * @return list<Client> in the order in which they would be chosen
     */
    public function inOrderById(array $ids): array
    {
        return $this->inOrder($this->byIds($ids));
    }

    /**
     * @param list<Client> $clients
     * @return list<Client>
     */
    private function inOrder(array $clients): array
    {
        $rank = array_flip($this->settings->get('client_modules'));
        $newest = $this->settings->get('client_among_equals') === 'newest';
        usort($clients, static function (Client $a, Client $b) use ($rank, $newest): int {
            $byModule = ($rank[$a->module] ?? 9) <=> ($rank[$b->module] ?? 9);
            if ($byModule !== 0) {
                return $byModule;
            }
            return $newest
                ? [$b->modifiedAt, $b->crmId] <=> [$a->modifiedAt, $a->crmId]
                : $a->crmId <=> $b->crmId;
        });
        return $clients;
    }

    /** @param array<string, mixed> $row */
    private function fromRow(array $row): Client
    {
        $client = new Client();
        $client->crmId = (int) $row['crmid'];
        $client->module = (string) $row['setype'];
        $client->ownerId = (int) $row['smownerid'];
        $client->modifiedAt = (string) $row['modifiedtime'];
        $callerId = (string) preg_replace('/[\s().\-]+/', '', (string) $row['caller_id']);
        $client->callerId = $this->mayBeShown($callerId) ? $callerId : '';
        if ($client->module === 'Accounts') {
            $name = (string) $row['a_name'];
        } elseif ($client->module === 'Leads') {
            $name = trim($row['l_first'] . ' ' . $row['l_last']);
        } else {
            $name = trim($row['c_first'] . ' ' . $row['c_last']);
            $client->account = self::plain((string) $row['c_accountname']);
            $client->accountId = (int) $row['c_account'];
        }
        $client->name = self::plain($name);
        return $client;
    }

    /** A number on a card is shown to him only where it is one of those that may be. */
    private function mayBeShown(string $callerId): bool
    {
        $allowed = (array) $this->settings->get('caller_ids');
        return $allowed === [] || in_array($callerId, $allowed, true);
    }

    /** vTiger stores some names with HTML entities, as its forms sent them. */
    private static function plain(string $name): string
    {
        return html_entity_decode($name, ENT_QUOTES | ENT_HTML5, 'UTF-8');
    }
}
