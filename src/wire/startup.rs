//! The untagged first packet of a connection. (Protocol chapter, "Start-up", "Canceling Requests in Progress".)
