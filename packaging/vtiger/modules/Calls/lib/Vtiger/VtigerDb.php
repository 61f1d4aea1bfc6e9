<?php

/** Db over vTiger's PearDatabase, which swallows errors and escapes HTML; this does neither. */

declare(strict_types=1);

namespace PinCalls\Vtiger;

use PinCalls\Db;
use PinCalls\DbFault;

final class VtigerDb implements Db
{
    /** @var \PearDatabase */
    private $adb;

    public function __construct()
    {
        $this->adb = \PearDatabase::getInstance();
    }

    public function rows(string $sql, array $params = []): array
    {
        $result = $this->run($sql, $params);
        $rows = [];
        while (($row = $this->adb->fetchByAssoc($result, -1, false)) !== null && $row !== false) {
            $rows[] = $row;
        }
        return $rows;
    }

    public function execute(string $sql, array $params = []): int
    {
        $result = $this->run($sql, $params);
        return max(0, (int) $this->adb->getAffectedRowCount($result));
    }

    public function lastId(): int
    {
        return (int) $this->adb->getLastInsertID();
    }

    /**
     * @param list<mixed> $params
     * @return object an ADOdb record set
     */
    private function run(string $sql, array $params)
    {
        $result = $this->adb->pquery($sql, $params);
        if (!$result) {
            $why = is_object($this->adb->database) ? (string) $this->adb->database->ErrorMsg() : 'no connection';
            throw new DbFault("The database refused a statement: $why");
        }
        return $result;
    }
}
