<?php

/**
 * vTiger's database object for the length of one connector request, with three differences: session settings are sent once and not
 * before every statement; ids come from a second connection, so that a transaction of ours never makes the whole CRM wait for a
 * sequence; a deadlock or a lost connection is an exception, because going on after it would store half a record.
 */

declare(strict_types=1);

namespace PinCalls\Vtiger;

use PinCalls\DbFault;
use PinCalls\Record\Atomic;

final class SteadyDatabase extends \PearDatabase implements Atomic
{
    /** Deadlock, lock wait time-out, server gone (two kinds): MySQL's numbers. */
    private const TRANSACTION_IS_LOST = [1213, 1205, 2006, 2013];

    private bool $sessionIsSet = false;
    private bool $inTransaction = false;
    private ?\PearDatabase $ids = null;

    /** Takes over the connection of vTiger's own object and its place. */
    public static function install(): self
    {
        $steady = new self();
        $steady->database = \PearDatabase::getInstance()->database;
        if (!isset($steady->database)) {
            $steady->connect();
        }
        $GLOBALS['adb'] = $steady;
        return $steady;
    }

    public function run(callable $work)
    {
        $this->database->Execute('START TRANSACTION');
        $this->inTransaction = true;
        try {
            $result = $work();
            $this->database->Execute('COMMIT');
            return $result;
        } catch (\Throwable $fault) {
            $this->database->Execute('ROLLBACK');
            throw $fault;
        } finally {
            $this->inTransaction = false;
        }
    }

    /** PHP is going down. The connection may be a persistent one: nothing may stay open on it. */
    public function abandon(): void
    {
        if ($this->inTransaction) {
            $this->database->Execute('ROLLBACK');
            $this->inTransaction = false;
        }
        $this->database->Execute('DO RELEASE_ALL_LOCKS()');
    }

    public function executeSetNamesUTF8SQL($force = false)
    {
        if (!$this->sessionIsSet || $force) {
            $this->sessionIsSet = true;
            parent::executeSetNamesUTF8SQL($force);
        }
    }

    public function startTransaction()
    {
        // vTiger's own sends SET AUTOCOMMIT=1 here and no more: that is the state already, and ours is open.
    }

    public function getUniqueID($seqname)
    {
        if (!$this->inTransaction) {
            return parent::getUniqueID($seqname);
        }
        if ($this->ids === null) {
            $this->ids = new \PearDatabase();
            $this->ids->connect();
        }
        return $this->ids->getUniqueID($seqname);
    }

    public function checkError($msg = '', $dieOnError = false)
    {
        $number = (int) $this->database->ErrorNo();
        if (in_array($number, self::TRANSACTION_IS_LOST, true)) {
            throw new DbFault('The database gave up: ' . $this->database->ErrorMsg());
        }
        return parent::checkError($msg, $dieOnError);
    }
}
