<?php

/**
 * The table of the clients' numbers (vtiger_calls_phone): one row per number of a Contact, Lead or Account, compared forms only, and
 * the journal of changes the connector's directory is fed from. Which fields a module has and what stands in them is asked of
 * the caller.
 */

declare(strict_types=1);

namespace PinCalls\Identity;

use PinCalls\Db;
use PinCalls\Number\PhoneNumber;

class PhoneIndex
{
    private Db $db;
    private string $region;
    private string $areaCode;
    private int $lastDigits;

    public function __construct(Db $db, string $region, string $areaCode, int $lastDigits)
    {
        $this->db = $db;
        $this->region = $region;
        $this->areaCode = $areaCode;
        $this->lastDigits = $lastDigits;
    }

    public function parse(string $written): PhoneNumber
    {
        return PhoneNumber::parse($written, $this->region, $this->areaCode);
    }

    /**
     * Makes the rows of a client what they must be.
     *
     * @param list<string> $written the numbers as they stand in the card
     * @return bool whether anything about the client's numbers changed
     */
    public function put(int $crmId, string $module, array $written): bool
    {
        $wanted = [];
        foreach ($written as $one) {
            $number = $this->parse($one);
            if ($number->key() !== '' && strlen($number->digits) > 5) {
                $wanted[$number->key()] = $number;
            }
        }
        $known = [];
        foreach ($this->db->rows('SELECT id, number FROM vtiger_calls_phone WHERE crmid = ?', [$crmId]) as $row) {
            $known[(string) $row['number']] = (int) $row['id'];
        }
        $changed = false;
        foreach (array_diff_key($known, $wanted) as $number => $id) {
            $this->db->execute('DELETE FROM vtiger_calls_phone WHERE id = ?', [$id]);
            $this->noteChange((string) $number);
            $changed = true;
        }
        foreach (array_diff_key($wanted, $known) as $key => $number) {
            $tail = $number->tail($this->lastDigits);
            $this->db->execute(
                'INSERT INTO vtiger_calls_phone (crmid, module, number, reversed, tail) VALUES (?, ?, ?, ?, ?)',
                // What is never compared by last digits (8-800, services) has nothing there to be compared.
                [$crmId, $module, (string) $key, $tail === '' ? '' : strrev((string) $key), $number->e164 === '' ? $tail : '']
            );
            $changed = true;
        }
        // The name or the manager may have changed where the numbers did not: the directory learns both from the same journal.
        foreach (array_keys($wanted) as $number) {
            $this->noteChange((string) $number);
        }
        return $changed;
    }

    public function remove(int $crmId): void
    {
        foreach ($this->db->rows('SELECT number FROM vtiger_calls_phone WHERE crmid = ?', [$crmId]) as $row) {
            $this->noteChange((string) $row['number']);
        }
        $this->db->execute('DELETE FROM vtiger_calls_phone WHERE crmid = ?', [$crmId]);
    }

    /** Empties the table: before it is filled again for another region or number of digits. */
    public function clear(): void
    {
        $this->db->execute('DELETE FROM vtiger_calls_phone');
        // The journal's numbering goes on with a gap, so that no cursor of before can be mistaken for one of after.
        $this->noteChange('');
        $this->db->execute('DELETE FROM vtiger_calls_phone_change');
        $this->noteChange('');
    }

    /** @return list<array{crmid: int, module: string}> everybody who has this number */
    public function holders(string $written): array
    {
        $number = $this->parse($written);
        if ($number->key() === '') {
            return [];
        }
        // Two indexed reads rather than one OR: MariaDB scans the table for the latter.
        $found = $this->db->rows('SELECT crmid, module FROM vtiger_calls_phone WHERE number = ?', [$number->key()]);
        if ($found === [] && ($tail = $number->tail($this->lastDigits)) !== '') {
            // An E.164 number meets only rows that have none; a number without one meets all, by the digits both have.
            $found = $this->db->rows('SELECT crmid, module FROM vtiger_calls_phone WHERE tail = ?', [$tail]);
            if ($found === [] && $number->e164 === '') {
                $found = $this->db->rows(
                    'SELECT crmid, module FROM vtiger_calls_phone WHERE reversed LIKE ?',
                    [strrev($tail) . '%']
                );
            }
        }
        $holders = [];
        foreach ($found as $row) {
            $holders[(int) $row['crmid']] = ['crmid' => (int) $row['crmid'], 'module' => (string) $row['module']];
        }
        return array_values($holders);
    }

    private function noteChange(string $number): void
    {
        $this->db->execute('INSERT INTO vtiger_calls_phone_change (number) VALUES (?)', [$number]);
    }
}
