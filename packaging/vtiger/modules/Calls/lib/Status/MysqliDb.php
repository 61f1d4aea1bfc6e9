<?php

/** Db over a plain connection, for live.php, which does without vTiger. */

declare(strict_types=1);

namespace PinCalls\Status;

use PinCalls\Db;
use PinCalls\DbFault;

final class MysqliDb implements Db
{
    private \mysqli $connection;

    public function __construct(\mysqli $connection)
    {
        $this->connection = $connection;
    }

    /** @param array<string, string> $config vTiger's $dbconfig */
    public static function open(array $config): self
    {
        mysqli_report(MYSQLI_REPORT_ERROR | MYSQLI_REPORT_STRICT);
        $port = (int) ltrim((string) $config['db_port'], ':');
        try {
            $connection = new \mysqli(
                $config['db_server'],
                $config['db_username'],
                $config['db_password'],
                $config['db_name'],
                $port > 0 ? $port : 3306
            );
            $connection->set_charset('utf8');
        } catch (\mysqli_sql_exception $fault) {
            throw new DbFault($fault->getMessage());
        }
        return new self($connection);
    }

    public function rows(string $sql, array $params = []): array
    {
        $result = $this->run($sql, $params)->get_result();
        $rows = $result === false ? [] : $result->fetch_all(MYSQLI_ASSOC);
        return array_map('array_change_key_case', $rows);
    }

    public function execute(string $sql, array $params = []): int
    {
        return max(0, (int) $this->run($sql, $params)->affected_rows);
    }

    public function lastId(): int
    {
        return (int) $this->connection->insert_id;
    }

    /** @param list<mixed> $params */
    private function run(string $sql, array $params): \mysqli_stmt
    {
        try {
            $statement = $this->connection->prepare($sql);
            if ($params !== []) {
                $statement->bind_param(str_repeat('s', count($params)), ...$params);
            }
            $statement->execute();
            return $statement;
        } catch (\mysqli_sql_exception $fault) {
            throw new DbFault($fault->getMessage());
        }
    }
}
