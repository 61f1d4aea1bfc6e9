<?php

/** Which fields of Contacts, Leads and Accounts hold phone numbers, and what stands in them. */

declare(strict_types=1);

namespace PinCalls\Vtiger;

use PinCalls\Db;
use PinCalls\Identity\ClientFinder;
use PinCalls\Identity\PhoneIndex;
use PinCalls\Settings\Settings;

final class ClientPhones
{
    private const PHONE_UITYPE = 11;
    private const KEYS = [
        'vtiger_contactdetails' => 'contactid', 'vtiger_contactsubdetails' => 'contactsubscriptionid',
        'vtiger_contactaddress' => 'contactaddressid', 'vtiger_contactscf' => 'contactid',
        'vtiger_leaddetails' => 'leadid', 'vtiger_leadsubdetails' => 'leadsubscriptionid',
        'vtiger_leadaddress' => 'leadaddressid', 'vtiger_leadscf' => 'leadid',
        'vtiger_account' => 'accountid', 'vtiger_accountscf' => 'accountid',
        'vtiger_accountbillads' => 'accountaddressid', 'vtiger_accountshipads' => 'accountaddressid',
    ];

    private Db $db;
    private PhoneIndex $index;
    /** @var array<string, array<string, list<string>>> module to table to columns */
    private array $columns = [];

    public function __construct(Db $db, PhoneIndex $index)
    {
        $this->db = $db;
        $this->index = $index;
    }

    /** Makes the index say what the card says now. */
    public function refresh(int $crmId, string $module): bool
    {
        if (!in_array($module, ClientFinder::MODULES, true)) {
            return false;
        }
        $gone = $this->db->rows(
            'SELECT e.crmid FROM vtiger_crmentity e LEFT JOIN vtiger_leaddetails l ON l.leadid = e.crmid'
            . ' WHERE e.crmid = ? AND e.deleted = 0 AND COALESCE(l.converted, 0) = 0',
            [$crmId]
        ) === [];
        if ($gone) {
            $this->index->remove($crmId);
            return true;
        }
        return $this->index->put($crmId, $module, $this->numbers([$crmId], $module)[$crmId] ?? []);
    }

    /**
     * Fills the index for records older than the module, a slice at a time in the order of their ids.
     *
     * @return bool whether everything is filled now
     */
    public function fill(Settings $settings, int $secondsAtMost): bool
    {
        $until = time() + $secondsAtMost;
        $filledTo = (int) $settings->get('phones_filled_to');
        if ($filledTo === 0) {
            $this->index->clear();
        }
        while ($filledTo >= 0 && time() < $until) {
            $rows = $this->db->rows(
                'SELECT crmid, setype FROM vtiger_crmentity WHERE crmid > ? AND deleted = 0'
                . " AND setype IN ('Contacts', 'Leads', 'Accounts') ORDER BY crmid LIMIT 500",
                [$filledTo]
            );
            $byModule = [];
            foreach ($rows as $row) {
                $byModule[(string) $row['setype']][] = (int) $row['crmid'];
                $filledTo = (int) $row['crmid'];
            }
            foreach ($byModule as $module => $ids) {
                foreach ($this->numbers($ids, $module) as $crmId => $written) {
                    $this->index->put($crmId, $module, $written);
                }
            }
            $filledTo = $rows === [] ? -1 : $filledTo;
            $settings->set('phones_filled_to', $filledTo);
        }
        return $filledTo < 0;
    }

    /**
     * @param list<int> $ids
     * @return array<int, list<string>>
     */
    private function numbers(array $ids, string $module): array
    {
        $numbers = [];
        $marks = implode(', ', array_fill(0, count($ids), '?'));
        foreach ($this->columns($module) as $table => $columns) {
            $key = self::KEYS[$table];
            $rows = $this->db->rows(
                "SELECT $key AS calls_crmid, " . implode(', ', $columns) . " FROM $table WHERE $key IN ($marks)",
                $ids
            );
            foreach ($rows as $row) {
                foreach ($columns as $column) {
                    if ((string) $row[strtolower($column)] !== '') {
                        $numbers[(int) $row['calls_crmid']][] = (string) $row[strtolower($column)];
                    }
                }
            }
        }
        return $numbers;
    }

    /** @return array<string, list<string>> */
    private function columns(string $module): array
    {
        if (!isset($this->columns[$module])) {
            $this->columns[$module] = [];
            $rows = $this->db->rows(
                'SELECT f.tablename, f.columnname FROM vtiger_field f INNER JOIN vtiger_tab t ON t.tabid = f.tabid'
                . ' WHERE t.name = ? AND f.uitype = ? AND f.presence IN (0, 2)',
                [$module, self::PHONE_UITYPE]
            );
            foreach ($rows as $row) {
                // The number to present to a client is ours, not his.
                if (isset(self::KEYS[$row['tablename']]) && $row['columnname'] !== 'calls_caller_id') {
                    $this->columns[$module][(string) $row['tablename']][] = (string) $row['columnname'];
                }
            }
        }
        return $this->columns[$module];
    }
}
